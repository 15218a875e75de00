// Package leak holds that a package's tests leave no goroutine behind. Servers that tests run inside their process end some of their goroutines a
// moment after they have said that they ended, and on a busy machine that moment may be seconds.
package leak

import (
	"fmt"
	"os"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines have to end that are about to.
const patience = time.Minute

// M is testing.M.
type M interface{ Run() int }

// VerifyTestMain runs the tests and exits; when all have passed and a goroutine is left, it exits with 1. It is to be called by TestMain.
func VerifyTestMain(m M, options ...goleak.Option) {
	code := m.Run()
	if code == 0 {
		if err := Find(patience, options...); err != nil {
			fmt.Fprintf(os.Stderr, "the tests have passed and left goroutines behind: %v\n", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Find returns an error that describes the goroutines which are left when the time is over, nil as soon as there are none.
func Find(within time.Duration, options ...goleak.Option) error {
	for deadline := time.Now().Add(within); ; {
		err := goleak.Find(options...) // it waits a little itself
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
