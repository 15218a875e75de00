package update

import (
	"testing"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/signing"
)

func TestWindow(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		window signing.Window
		at     string // UTC
		want   bool
	}{
		{"before", signing.Window{Cron: "0 2 * * *", Minutes: 180}, "2026-11-01T00:59:59Z", false},
		{"at its start", signing.Window{Cron: "0 2 * * *", Minutes: 180}, "2026-11-01T01:00:00Z", true},
		{"in its last minute", signing.Window{Cron: "0 2 * * *", Minutes: 180}, "2026-11-01T03:59:59Z", true},
		{"behind", signing.Window{Cron: "0 2 * * *", Minutes: 180}, "2026-11-01T04:00:00Z", false},
		{"summer time", signing.Window{Cron: "0 2 * * *", Minutes: 60}, "2026-07-01T00:30:00Z", true},
		{"another zone", signing.Window{Zone: "America/New_York", Cron: "0 2 * * *", Minutes: 60}, "2026-07-01T06:30:00Z", true},
		{"over midnight", signing.Window{Zone: "UTC", Cron: "30 23 * * *", Minutes: 60}, "2026-07-02T00:15:00Z", true},
		{"weekend by name", signing.Window{Zone: "UTC", Cron: "0 0 * * sat", Minutes: 2880}, "2026-11-29T23:00:00Z", true},
		{"not on weekdays", signing.Window{Zone: "UTC", Cron: "0 0 * * sat", Minutes: 2880}, "2026-11-30T00:00:00Z", false},
		{"Sunday is 7 too", signing.Window{Zone: "UTC", Cron: "0 0 * * 7", Minutes: 1440}, "2026-11-29T12:00:00Z", true},
		{"steps and lists", signing.Window{Zone: "UTC", Cron: "*/20,7 8-10 * 1,7 *", Minutes: 1}, "2026-07-03T09:40:10Z", true},
		{"steps and lists, not", signing.Window{Zone: "UTC", Cron: "*/20,7 8-10 * 1,7 *", Minutes: 1}, "2026-07-03T09:41:10Z", false},
		{"either day", signing.Window{Zone: "UTC", Cron: "0 0 13 * fri", Minutes: 60}, "2026-11-13T00:10:00Z", true},
		{"either day, Friday", signing.Window{Zone: "UTC", Cron: "0 0 13 * fri", Minutes: 60}, "2026-11-20T00:10:00Z", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := windowOpen(&tt.window, at, berlin); err != nil || got != tt.want {
				t.Errorf("open %v, %v, want %v", got, err, tt.want)
			}
		})
	}
	if _, err := windowOpen(&signing.Window{Zone: "Mars/Olympus", Cron: "* * * * *", Minutes: 1}, time.Now(), berlin); failure.Of(err) != failure.Dependency {
		t.Errorf("unknown zone: %v", err)
	}
}
