package ota

import (
	"fmt"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

// said is a numbered report.
func said(t *Task, attempt, step int, state, class string, permille, bytes int) string {
	return fmt.Sprintf(`{"Method":"report_progress","Payload":{"Module":"default","Deployment":"%d","Attempt":%d,"Step":%d,"State":"%s","Permille":%d,"Class":"%s","Bytes":%d}}`,
		t.ID, attempt, step, state, permille, class, bytes)
}

// TestNumbered: reports of a device that verifies count once, in the order of their numbers, and only within their attempt.
func TestNumbered(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		d := f.device("gw-1")
		task := f.task(f.firmwareOf("2.0", "x"), "gw-1")
		f.say(d, 1, said(task, 1, 1, "downloading", "", 0, 0)) // it was offered nothing
		f.want(task, d, Initial, "")
		parseOffer(t, f.say(d, 1, requestOld))
		for _, tt := range []struct {
			attempt, step   int
			state, class    string
			permille, bytes int
			want            string
		}{
			{1, 1, "accepted", "", 0, 0, "accepted  0% 0"},
			{1, 2, "waiting", "WINDOW", 0, 0, "accepted WINDOW 0% 0"},
			{1, 2, "failed", "NET", 0, 0, "accepted WINDOW 0% 0"},    // a number that was there
			{2, 3, "downloading", "", 10, 5, "accepted WINDOW 0% 0"}, // of another attempt
			{0, 3, "downloading", "", 10, 5, "accepted WINDOW 0% 0"}, // of another attempt
			{1, 3, "downloading", "", 405, 1000, "downloading  40% 1000"},
			{1, 4, "downloading", "", 410, 900, "downloading  41% 1000"},    // bytes only grow
			{1, 4, "downloading", "", 990, 9999, "downloading  41% 1000"},   // a repeat
			{1, 7, "staged", "", 1000, 2000, "staged  100% 2000"},           // numbers may be left out
			{1, 6, "downloading", "", 500, 1500, "staged  100% 2000"},       // late
			{1, 8, "waiting", "CONSENT", 0, 2000, "staged CONSENT 0% 2000"}, // it waits where it is
			{1, 9, "armed", "", 0, 2000, "armed  0% 2000"},
			{1, 10, "downloading", "", 0, 2000, "armed  0% 2000"}, // not from here
			{1, 11, "rebooting", "", 0, 2000, "rebooting  0% 2000"},
			{1, 12, "trial", "", 0, 2000, "trial  0% 2000"},
			{1, 13, "confirmed", "", 0, 2000, "trial  0% 2000"}, // what it attests is the end, not this
			{1, 14, "rolled_back", "HEALTH_FAILED", 0, 2000, "rolled_back HEALTH_FAILED 0% 2000"},
			{1, 15, "trial", "", 0, 2000, "rolled_back HEALTH_FAILED 0% 2000"},
		} {
			f.say(d, 1, said(task, tt.attempt, tt.step, tt.state, tt.class, tt.permille, tt.bytes))
			at := f.at(task, d)
			if got := fmt.Sprintf("%s %s %d%% %d", at.State, at.Class, at.Percent, at.Bytes); got != tt.want {
				t.Errorf("%d.%d %s: got %s, want %s", tt.attempt, tt.step, tt.state, got, tt.want)
			}
		}
		for _, bad := range []string{said(task, 1, 20, "dancing", "", 0, 0), said(task, 1, 20, "failed", "BAD_LUCK", 0, 0)} {
			if got := f.say(d, 1, bad); got != "refused 230" {
				t.Errorf("%s: %s", bad, got)
			}
		}
		for _, id := range []int64{1, 0} { // no such deployment
			f.say(d, 1, said(&Task{ID: id}, 1, 20, "failed", "", 0, 0))
		}
		f.counted(task)
	})
}

// TestVerifying: what stock devices say is no end for one that verifies, and one that is at it is not offered it again.
func TestVerifying(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	d := f.device("gw-1")
	task := f.task(f.firmwareOf("2.0", "x"), "gw-1")
	parseOffer(t, f.say(d, 1, requestOld))
	f.say(d, 1, said(task, 1, 1, "trial", "", 0, 0))
	for _, says := range []string{succeed, `{"Method":"report_version","Payload":{"Version":"2.0"}}`, `{"Method":"report_fail","Payload":{"ErrCode":-1}}`,
		`{"Method":"report_progress","Payload":{"State":"burning"}}`, requestOld} {
		if got := f.say(d, 2, says); got != "" {
			t.Errorf("%s: answered %s", says, got)
		}
		f.want(task, d, Trial, "")
	}
	f.clock = f.clock.Add(2 * f.cfg.Timeout)
	if err := f.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.want(task, d, TimedOut, "trial")
	// One that waits for its window may do so as long as the task lives.
	waits := f.device("gw-2")
	second := f.task(f.firmwareOf("3.0", "y"), "gw-2")
	parseOffer(t, f.say(waits, 1, requestOld))
	f.say(waits, 1, said(second, 1, 1, "waiting", "WINDOW", 0, 0))
	f.clock = f.clock.Add(2 * f.cfg.Timeout)
	if err := f.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.want(second, waits, Accepted, "WINDOW")
	f.counted(second)
}

// counted holds the counters of a task to its rows.
func (f *fixture) counted(t *Task) {
	f.t.Helper()
	var counters, rows string
	for q, into := range map[string]*string{
		`SELECT wave, state, class, SUM(n) FROM ota_count WHERE task = ? GROUP BY wave, state, class HAVING SUM(n) <> 0 ORDER BY wave, state, class`: &counters,
		`SELECT wave, state, class, COUNT(*) FROM ota_deployment WHERE task = ? GROUP BY wave, state, class ORDER BY wave, state, class`:             &rows,
	} {
		list, err := f.Store.Query(f.t.Context(), q, t.ID)
		if err != nil {
			f.t.Fatal(err)
		}
		for list.Next() {
			var wave, state, n int64
			var class string
			if err := list.Scan(&wave, &state, &class, &n); err != nil {
				f.t.Fatal(err)
			}
			*into += fmt.Sprintf("wave %d %s %s: %d\n", wave, State(state), class, n)
		}
		if err := list.Close(); err != nil {
			f.t.Fatal(err)
		}
	}
	if counters != rows {
		f.t.Errorf("counters\n%sdevices\n%s", counters, rows)
	}
}

// TestNumberedRetries: a failure that may be mended is tried again with another attempt, whose reports count from one; one that may not is an end.
func TestNumberedRetries(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	d := f.fleet("gw-1", 1)[0]
	c := f.campaign(f.firmwareOf("2.0", "x"), Spec{Retry: rollout.Retry{Attempts: 3}})
	f.turns(2)
	f.offered()
	f.say(d, 1, said(&c.Task, 1, 1, "downloading", "", 500, 700))
	f.say(d, 1, said(&c.Task, 1, 2, "failed", "NET", 500, 800))
	f.want(&c.Task, d, Initial, "NET")
	f.say(d, 1, said(&c.Task, 1, 2, "failed", "NET", 500, 800)) // a repeat
	f.clock = f.clock.Add(20 * time.Second)
	f.turns(1)
	if got := f.offered(); len(got) != 1 {
		t.Fatalf("again: %v", got)
	}
	f.say(d, 1, said(&c.Task, 1, 3, "downloading", "", 999, 999)) // of the attempt before
	f.want(&c.Task, d, Pending, "")
	f.say(d, 1, said(&c.Task, 2, 1, "downloading", "", 100, 900))
	f.want(&c.Task, d, Downloading, "")
	f.say(d, 1, said(&c.Task, 2, 2, "rejected", "SIG", 0, 900))
	f.want(&c.Task, d, Rejected, "SIG")
	f.turns(2)
	f.wantStatus(c, Done, 1)
	p, err := f.Progress(t.Context(), c.ID)
	if err != nil || p.Bytes() != 900 || p.Classes()["SIG"] != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	f.counted(&c.Task)
}
