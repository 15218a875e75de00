package fleet_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/fleet"
	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// bench is a registry with one product, and jobs that run.
type bench struct {
	t       testing.TB
	db      *store.DB
	reg     *registry.Registry
	jobs    *job.Jobs
	product string
	calls   *calls // nil: no command can be called
	stop    func()
}

func start(t testing.TB, db *store.DB) *bench {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	reg, err := registry.New(t.Context(), db, log)
	if err != nil {
		t.Fatal(err)
	}
	p, err := reg.CreateProduct(t.Context(), registry.NewProduct{Name: "p"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, db: db, reg: reg, product: p.SN}
	b.run()
	t.Cleanup(func() { b.stop() })
	return b
}

// run begins to work on jobs, as a hub that has just started.
func (b *bench) run() {
	cfg := job.DefaultConfig()
	cfg.Node, cfg.Poll = "n0", 20*time.Millisecond
	kinds := fleet.New(b.db, b.reg, nil, nil).Kinds()
	if b.calls != nil {
		kinds = fleet.New(b.db, b.reg, b.calls, nil).Kinds()
	}
	b.jobs = job.New(cfg, job.Deps{Store: b.db, Kinds: kinds, Log: slog.New(slog.NewTextHandler(b.t.Output(), nil))})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.jobs.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("run: %v", err)
		}
		b.stop = func() {}
	}
}

func (b *bench) create(n job.NewJob) *job.Job {
	b.t.Helper()
	n.Product, n.Project = b.product, "default"
	one, err := b.jobs.Create(b.t.Context(), n)
	if err != nil {
		b.t.Fatal(err)
	}
	return one
}

func (b *bench) ended(id string) *job.Job {
	b.t.Helper()
	var one *job.Job
	harness.Eventually(b.t, 10*time.Minute, "job ends", func() (ended bool) {
		var err error
		if one, err = b.jobs.Get(b.t.Context(), id); err != nil {
			b.t.Fatal(err)
		}
		return one.State.Ended()
	})
	return one
}

// importFile runs an import to its end and returns the rows of its result without the heading.
func (b *bench) importFile(text string, dry bool) (*job.Job, [][]string) {
	b.t.Helper()
	one := b.ended(b.create(job.NewJob{Kind: fleet.KindImport, DryRun: dry, Input: strings.NewReader(text)}).ID)
	return one, b.result(one.ID)
}

func (b *bench) result(id string) [][]string {
	b.t.Helper()
	r, err := b.jobs.Result(b.t.Context(), id, true)
	if err != nil {
		b.t.Fatal(err)
	}
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		b.t.Fatal(err)
	}
	return rows[1:]
}

func (b *bench) count() int {
	b.t.Helper()
	n, err := b.reg.CountDevices(b.t.Context(), registry.Filter{Product: b.product}, false)
	if err != nil {
		b.t.Fatal(err)
	}
	return n.Total
}

// rows is a file with one bad row of each sort, and what becomes of each.
const rows = "\xEF\xBB\xBFdeviceSN,Name,description,secret\r\n" +
	"cellar-1,In the cellar,\"the \"\"big\"\", old\r\none\",0123456789abcdef\r\n" + // 2, 3
	",generated,,\r\n" + // 4
	"cellar-1,again,,\r\n" +
	"there-1,exists,,\r\n" +
	"a/b,slash,,\r\n" +
	"name-1," + "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx,,\r\n" +
	"few-1,few\r\n" +
	"bad-1,\xff\xfe,,\r\n" +
	"quote-1,a\"b,,\r\n" +
	"secret-1,,,short\r\n" +
	"\r\n" +
	"open-1,\"never closed,,\r\n" +
	"last-1,,,"

func TestImport(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := start(t, db)
		if _, err := b.reg.CreateDevice(t.Context(), registry.NewDevice{Product: b.product, SN: "there-1"}); err != nil {
			t.Fatal(err)
		}
		want := []string{"ok 2 cellar-1", "ok 4 ", "duplicate_in_file 5 cellar-1", "device_exists 6 there-1", "invalid_deviceSN 7 a/b",
			"invalid_name 8 name-1", "wrong_columns 9 ", "bad_encoding 10 ", "bad_quote 11 ", "invalid_secret 12 secret-1", "unclosed_quote 14 ", "ok 15 last-1"}
		for _, dry := range []bool{true, false} {
			before := b.count()
			one, result := b.importFile(rows, dry)
			if one.State != job.Done || one.Succeeded != 3 || one.Failed != 9 || one.Total != 12 || one.Errors["bad_quote"] != 1 {
				t.Fatalf("dry %v: %+v", dry, one)
			}
			for i, row := range result {
				line := row[0] + " " + row[1] + " "
				if i != 1 {
					line += row[2]
				}
				if line != want[i] {
					t.Errorf("dry %v: row %d is %q, want %s", dry, i, row, want[i])
				}
				if (row[0] == "ok") != (row[4] == "") || (row[3] != "") != (row[0] == "ok" && !dry) {
					t.Errorf("dry %v: secret or reason of %q", dry, row)
				}
			}
			if made := b.count() - before; made != 3 && !dry || made != 0 && dry {
				t.Errorf("dry %v: %d devices made", dry, made)
			}
		}
		d, err := b.reg.Device(t.Context(), ident.Device{Product: b.product, SN: "cellar-1"})
		if err != nil || d.Name != "In the cellar" || d.Description != "the \"big\", old\r\none" || d.Secret.Reveal() != "0123456789abcdef" {
			t.Errorf("imported: %+v, %v", d, err)
		}
	})
}

func TestFilesThatCannotBeImported(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "the file is empty"},
		{"unknown column", "deviceSN,colour\n", `no column "colour"`},
		{"column twice", "name,Name\n", "is there twice"},
		{"tag twice", "tag.a,tag.b,tag.a\n", "is there twice"},
		{"tag of no name", "tag.\n", "no column"},
		{"UTF-16", "\xff\xfed\x00", "UTF-16"},
		{"no heading", "\"cellar-1\n", "quote that is never closed"},
	} {
		if err := fleet.CheckHead([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	b := start(t, storetest.SQLite(t))
	if one, _ := b.importFile("deviceSN,colour\n", false); one.State != job.Failed || !strings.Contains(one.Error, "colour") {
		t.Errorf("job on a file with an unknown column: %v %s", one.State, one.Error)
	}
	if one, result := b.importFile("deviceSN\n", false); one.State != job.Done || len(result) != 0 || one.Total != 0 {
		t.Errorf("job on a file without rows: %+v", one)
	}
}

func TestImportOfTags(t *testing.T) {
	b := start(t, storetest.SQLite(t))
	one, rows := b.importFile("tag.site,deviceSN,tag.floor\nnorth,d-0001,2\n,d-0002,\n"+strings.Repeat("x", 200)+",d-0003,1\n", false)
	if one.Succeeded != 2 || rows[2][0] != "invalid_tags" || !strings.Contains(rows[2][4], "tags.site") {
		t.Errorf("%+v %q", one, rows)
	}
	d, err := b.reg.Device(t.Context(), ident.Device{Product: b.product, SN: "d-0001"})
	if err != nil || d.Tags["site"] != "north" || d.Tags["floor"] != "2" {
		t.Errorf("tags: %v, %v", d, err)
	}
	list, _, err := b.reg.Devices(t.Context(), registry.Filter{Project: "default", Query: "tag.site=north"}, registry.Page{})
	if err != nil || len(list) != 1 {
		t.Errorf("found by tag: %v, %v", list, err)
	}
}

// TestImportOfManyOverRestarts imports a file with an error in every tenth row while the jobs are stopped again and
// again: every good row is there once, every bad one is reported once.
func TestImportOfManyOverRestarts(t *testing.T) {
	n := 5_000
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		n = 100_000
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := start(t, db)
		one := b.create(job.NewJob{Kind: fleet.KindImport, Input: manyRows(n)})
		for next := int64(n / 10); ; next += int64(n / 10) {
			got := one
			harness.Eventually(t, 5*time.Minute, "progress", func() bool {
				var err error
				if got, err = b.jobs.Get(t.Context(), one.ID); err != nil {
					t.Fatal(err)
				}
				return got.Done() >= next || got.State.Ended()
			})
			if got.State.Ended() {
				break
			}
			b.stop()
			b.run()
		}
		one = b.ended(one.ID)
		good := n - n/10
		if one.State != job.Done || one.Succeeded != int64(good) || one.Failed != int64(n/10) || one.Total != int64(n) {
			t.Errorf("ended: %+v", one)
		}
		if got := b.count(); got != good {
			t.Errorf("%d devices, want %d", got, good)
		}
		seen := map[string]bool{}
		for _, row := range b.result(one.ID) {
			if seen[row[1]] {
				t.Fatalf("line %s is there twice", row[1])
			}
			seen[row[1]] = true
		}
		if len(seen) != n {
			t.Errorf("%d lines in the result, want %d", len(seen), n)
		}
	})
}

// manyRows streams a file of n rows; every tenth has an SN that is none, or that of the row before.
func manyRows(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, "deviceSN,name,description\n")
		for i := range n {
			sn := fmt.Sprintf("meter-%07d", i)
			switch i % 20 {
			case 9:
				sn = "a/b"
			case 19:
				sn = fmt.Sprintf("meter-%07d", i-1)
			}
			if _, err := fmt.Fprintf(w, "%s,\"Meter, %d\",in the field\n", sn, i); err != nil {
				return
			}
		}
		_ = w.Close()
	}()
	return r
}

func TestBulk(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := start(t, db)
		if one, _ := b.importFile("deviceSN\n"+strings.Repeat(",\n", 0)+lines(600), false); one.Succeeded != 600 {
			t.Fatalf("import: %+v", one)
		}
		bulk := func(action registry.Action, state string, dry bool) (*job.Job, [][]string) {
			t.Helper()
			spec, err := fleet.Bulk{Action: action, State: state}.Spec()
			if err != nil {
				t.Fatal(err)
			}
			one := b.ended(b.create(job.NewJob{Kind: fleet.KindBulk, Spec: spec, DryRun: dry}).ID)
			return one, b.result(one.ID)
		}
		state := func(want registry.State, n int) {
			t.Helper()
			if got, err := b.reg.CountDevices(t.Context(), registry.Filter{Product: b.product, State: &want}, false); err != nil || got.Total != n {
				t.Errorf("%d devices are %s, want %d (%v)", got, want, n, err)
			}
		}
		if one, rows := bulk(registry.ActionDisable, "", true); one.Succeeded != 600 || len(rows) != 600 || rows[0][3] != "yes" {
			t.Errorf("dry run: %+v", one)
		}
		state(registry.Disabled, 0)
		if one, _ := bulk(registry.ActionDisable, "inactive", false); one.Succeeded != 600 || one.Total != 600 {
			t.Errorf("disable: %+v", one)
		}
		state(registry.Disabled, 600)
		if one, rows := bulk(registry.ActionDisable, "", false); one.Succeeded != 600 || rows[599][3] != "no" {
			t.Errorf("disable again: %+v", one)
		}
		if one, _ := bulk(registry.ActionEnable, "", false); one.Succeeded != 600 {
			t.Errorf("enable: %+v", one)
		}
		state(registry.Inactive, 600)
		_, rows := bulk(registry.ActionResetSecret, "", false)
		d, err := b.reg.Device(t.Context(), ident.Device{Product: b.product, SN: rows[7][2]})
		if err != nil || d.Secret.Reveal() != rows[7][4] || len(rows[7][4]) != 16 {
			t.Errorf("new secret: %q, %v", rows[7], err)
		}
		more := func(b2 fleet.Bulk, dry bool) (*job.Job, [][]string) {
			t.Helper()
			spec, err := b2.Spec()
			if err != nil {
				t.Fatal(err)
			}
			one := b.ended(b.create(job.NewJob{Kind: fleet.KindBulk, Spec: spec, DryRun: dry}).ID)
			return one, b.result(one.ID)
		}
		tag := fleet.Bulk{Action: registry.ActionTag, Tags: map[string]string{"site": "north"}, Filter: "sn:d-000*"}
		if one, rows := more(tag, true); one.Succeeded != 10 || rows[3][3] != "yes" {
			t.Errorf("dry run of tag: %+v", one)
		}
		if one, rows := more(tag, false); one.Succeeded != 10 || rows[3][3] != "yes" {
			t.Errorf("tag: %+v", one)
		}
		if one, rows := more(tag, false); one.Succeeded != 10 || rows[3][3] != "no" {
			t.Errorf("tag again: %+v", one)
		}
		if _, err := b.reg.CreateGroup(t.Context(), registry.NewGroup{Project: "default", Name: "north"}); err != nil {
			t.Fatal(err)
		}
		if one, _ := more(fleet.Bulk{Action: registry.ActionJoin, Group: "north", Filter: "tag.site=north"}, false); one.Succeeded != 10 {
			t.Errorf("join: %+v", one)
		}
		if n, err := b.reg.CountDevices(t.Context(), registry.Filter{Project: "default", Query: "group:north"}, false); err != nil || n.Total != 10 {
			t.Errorf("%d are in the group, want 10 (%v)", n.Total, err)
		}
		if one, _ := more(fleet.Bulk{Action: registry.ActionLeave, Group: "north"}, false); one.Succeeded != 600 {
			t.Errorf("leave: %+v", one)
		}
		if n, err := b.reg.CountDevices(t.Context(), registry.Filter{Project: "default", Query: "group:north"}, false); err != nil || n.Total != 0 {
			t.Errorf("%d are in the group, want none (%v)", n.Total, err)
		}
		if one, _ := more(fleet.Bulk{Action: registry.ActionJoin, Group: "nowhere"}, false); one.State != job.Failed || !strings.Contains(one.Error, "nowhere") {
			t.Errorf("join no group: %+v", one)
		}
		for _, bad := range []fleet.Bulk{{Action: registry.ActionTag}, {Action: registry.ActionEnable, Group: "x"}, {Action: registry.ActionJoin},
			{Action: registry.ActionEnable, Filter: "state:"}, {Action: registry.ActionEnable, Tags: map[string]string{"a": "b"}}} {
			if _, err := bad.Spec(); err == nil {
				t.Errorf("%+v is taken", bad)
			}
		}
		if one, _ := bulk(registry.ActionDelete, "", false); one.Succeeded != 600 || b.count() != 0 {
			t.Errorf("delete: %+v, %d left", one, b.count())
		}
		if _, err := (fleet.Bulk{Action: "paint"}).Spec(); err == nil {
			t.Error("an unknown action is taken")
		}
	})
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "d-%04d\n", i)
	}
	return b.String()
}

// BenchmarkImport imports b.N rows; µs/row is the CPU of this process alone.
func BenchmarkImport(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *store.DB{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			bench := start(b, open(b))
			b.ResetTimer()
			cpu := cpuTime()
			one := bench.ended(bench.create(job.NewJob{Kind: fleet.KindImport, Input: manyRows(b.N)}).ID)
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/row")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			if one.State != job.Done || one.Done() != int64(b.N) {
				b.Fatalf("%+v", one)
			}
		})
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// calls stands for the thing model: it takes all but every tenth device.
type calls struct {
	mu   sync.Mutex
	made map[string]int
}

func (c *calls) Check(context.Context, string, fleet.Call) error { return nil }

func (c *calls) Queue(_ context.Context, _ *store.Tx, d *registry.Device, call fleet.Call, job string) (string, error) {
	if strings.HasSuffix(d.Identity.SN, "0") {
		return "", fmt.Errorf("no: %w", &fleet.Refused{Code: "command_queue_full", Reason: "too many wait"})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made[d.Identity.SN]++
	return call.Identifier + "-" + job, nil
}

func TestBatchOfCommands(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := start(t, db)
		if one, _ := b.importFile("deviceSN\n"+lines(600), false); one.Succeeded != 600 {
			t.Fatalf("import: %+v", one)
		}
		b.stop()
		b.calls = &calls{made: map[string]int{}}
		b.run()
		call := func(c fleet.Call, dry bool) (*job.Job, [][]string) {
			t.Helper()
			spec, err := c.Spec()
			if err != nil {
				t.Fatal(err)
			}
			one := b.ended(b.create(job.NewJob{Kind: fleet.KindCommand, Spec: spec, DryRun: dry}).ID)
			return one, b.result(one.ID)
		}
		if one, _ := call(fleet.Call{Identifier: "reboot", Queue: 60}, true); one.Succeeded != 600 || len(b.calls.made) != 0 {
			t.Errorf("dry run: %+v, %d calls", one, len(b.calls.made))
		}
		one, rows := call(fleet.Call{Identifier: "reboot", Queue: 60}, false)
		if one.Succeeded != 540 || one.Failed != 60 || one.Errors["command_queue_full"] != 60 || len(b.calls.made) != 540 || len(rows) != 600 {
			t.Errorf("batch: %+v, %d calls", one, len(b.calls.made))
		}
		for _, row := range rows {
			if full := strings.HasSuffix(row[2], "0"); full != (row[0] == "command_queue_full") || full != (row[4] == "too many wait") || !full && row[3] != "reboot-"+one.ID {
				t.Fatalf("row %q", row)
			}
		}
		if one, _ := call(fleet.Call{Identifier: "reboot", Queue: 60, Filter: "sn:d-000*"}, false); one.Total != 10 {
			t.Errorf("with a filter: %+v", one)
		}
		for _, bad := range []fleet.Call{{Queue: 60}, {Identifier: "x", Queue: 59}, {Identifier: "x", Queue: 60, State: "odd"}, {Identifier: "x", Queue: 60, Filter: "("}} {
			if _, err := bad.Spec(); err == nil {
				t.Errorf("%+v is taken", bad)
			}
		}
	})
}
