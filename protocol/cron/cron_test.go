package cron_test

import (
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/cron"
)

func TestErrors(t *testing.T) {
	for _, text := range []string{"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-3 * * * *",
		"*/0 * * * *", "+1 * * * *", "a * * * *", "1, * * * *", "*/99 * * * *", "-1 * * * *", "1-2-3 * * * *"} {
		if _, err := cron.Parse(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"0 2 * * *", "*/20,7 8-10 1-31/2 jan,7 sun-sat"} {
		f.Add(text)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		if c, err := cron.Parse(text); err == nil {
			c.At(time.Unix(0, 0))
		}
	})
}
