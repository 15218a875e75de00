package harness

import (
	"os"
	"time"
)

// Long is whether the long forms of tests were asked for, with HAWSER_TEST_LONG in the environment.
func Long() bool { return os.Getenv("HAWSER_TEST_LONG") != "" }

// Promised is how long a test waits for what is promised within d. The promise itself is held in the long form, on a machine that has
// nothing else to do; otherwise a minute is given, as a busy one may stand still for longer than d.
func Promised(d time.Duration) time.Duration {
	if Long() {
		return d
	}
	return max(d, time.Minute)
}
