package job_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// stamp is a kind whose rows write a key each that may be written once only; every third fails.
type stamp struct {
	db         *store.DB
	rows, each int
	before     func(ctx context.Context, place int) // called before the transaction of a step
	open       func(*job.Task) error
}

func (k *stamp) Columns() []job.Column {
	return []job.Column{{Name: "row"}, {Name: "secret", Secret: true}, {Name: "text"}}
}

func (k *stamp) Open(_ context.Context, t *job.Task) (job.Runner, error) {
	if k.open != nil {
		if err := k.open(t); err != nil {
			return nil, err
		}
	}
	place, _ := strconv.Atoi(t.Place)
	return &stampRun{k, t, place}, nil
}

type stampRun struct {
	*stamp
	task  *job.Task
	place int
}

func (r *stampRun) Step(ctx context.Context, save job.Save) error {
	if r.place >= r.rows {
		return io.EOF
	}
	if r.before != nil {
		r.before(ctx, r.place)
	}
	n := min(r.each, r.rows-r.place)
	b := job.Batch{Place: strconv.Itoa(r.place + n), Total: int64(r.rows)}
	for i := r.place; i < r.place+n; i++ {
		row := job.Row{Cells: []string{strconv.Itoa(i), "hush", "a,\"b\"\nc"}}
		if i%3 == 2 {
			row.Code = "third"
		}
		b.Rows = append(b.Rows, row)
	}
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		for i := r.place; i < r.place+n; i++ {
			if _, err := tx.Exec(ctx, `INSERT INTO setting (key, value) VALUES (?, ?)`, fmt.Sprintf("%s.%d", r.task.ID, i), []byte{1}); err != nil {
				return err
			}
		}
		return save(ctx, tx, b)
	})
	r.place += n
	return err
}

func jobs(t *testing.T, db *store.DB, node string, kind job.Kind, change func(*job.Config)) *job.Jobs {
	cfg := job.DefaultConfig()
	cfg.Node, cfg.Poll = node, 20*time.Millisecond
	if change != nil {
		change(&cfg)
	}
	return job.New(cfg, job.Deps{Store: db, Kinds: map[string]job.Kind{"stamp": kind}, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
}

// run works on jobs until the returned function is called, which waits.
func run(t *testing.T, j *job.Jobs) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func create(t *testing.T, j *job.Jobs, n job.NewJob) *job.Job {
	t.Helper()
	n.Kind = "stamp"
	one, err := j.Create(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return one
}

// ended waits for the end of a job.
func ended(t *testing.T, j *job.Jobs, id string) *job.Job {
	t.Helper()
	var one *job.Job
	harness.Eventually(t, time.Minute, "job ends", func() bool {
		var err error
		if one, err = j.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return one.State.Ended()
	})
	return one
}

// written counts the rows that a job did.
func written(t *testing.T, db *store.DB, id string) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM setting WHERE key LIKE ?`, id+".%").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func result(t *testing.T, j *job.Jobs, id string, secrets bool) []string {
	t.Helper()
	r, err := j.Result(t.Context(), id, secrets)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(b), "\"\"\nc", "\"\" c"), "\n"), "\n")
}

func TestAJobRunsToItsEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := jobs(t, db, "n0", &stamp{db: db, rows: 100, each: 7}, nil)
		one := create(t, j, job.NewJob{Product: "p", Owner: "key:a", Spec: []byte(`{"a":1}`)})
		if one.State != job.Queued || one.Total != -1 || one.Product != "p" || string(one.Spec) != `{"a":1}` {
			t.Errorf("queued: %+v", one)
		}
		if _, err := j.Result(t.Context(), one.ID, true); !errors.Is(err, job.ErrNotFinished) {
			t.Errorf("result before the end: %v", err)
		}
		run(t, j)
		one = ended(t, j, one.ID)
		if one.State != job.Done || one.Total != 100 || one.Succeeded != 67 || one.Failed != 33 || one.Errors["third"] != 33 || one.Rate() <= 0 {
			t.Errorf("ended: %+v", one)
		}
		if n := written(t, db, one.ID); n != 100 {
			t.Errorf("%d rows written", n)
		}
		lines := result(t, j, one.ID, true)
		if len(lines) != 101 || lines[0] != "result,row,secret,text" || lines[1] != `ok,0,hush,"a,""b"" c"` || !strings.HasPrefix(lines[3], "third,2,") {
			t.Errorf("result of %d lines: %q", len(lines), lines[:4])
		}
		if lines = result(t, j, one.ID, false); lines[0] != "result,row,text" || lines[100] != `ok,99,"a,""b"" c"` {
			t.Errorf("result without secrets: %q … %q", lines[0], lines[100])
		}
		var piece []byte
		if err := db.QueryRow(t.Context(), `SELECT data FROM job_result WHERE job = ?`, one.ID).Scan(&piece); err != nil || strings.Contains(string(piece), "hush") {
			t.Errorf("stored result is not sealed: %q, %v", piece, err)
		}
		if _, err := j.Cancel(t.Context(), one.ID); !errors.Is(err, job.ErrFinished) {
			t.Errorf("cancel of an ended job: %v", err)
		}
	})
}

func TestAJobGoesOnWhereItWas(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		reached := make(chan struct{})
		var once sync.Once
		kind := &stamp{db: db, rows: 200, each: 10, before: func(ctx context.Context, place int) {
			if place == 70 {
				once.Do(func() {
					close(reached)
					<-ctx.Done() // the stop comes here, however late
				})
			}
		}}
		first := jobs(t, db, "n0", kind, nil)
		one := create(t, first, job.NewJob{})
		stop := run(t, first)
		<-reached
		stop()
		half, err := first.Get(t.Context(), one.ID)
		if err != nil || half.State != job.Running || half.Done() != 70 {
			t.Fatalf("after the stop: %+v, %v", half, err)
		}
		second := jobs(t, db, "n0", kind, nil)
		run(t, second)
		if one = ended(t, second, one.ID); one.State != job.Done || one.Done() != 200 || written(t, db, one.ID) != 200 {
			t.Errorf("ended: %+v, %d rows written", one, written(t, db, one.ID))
		}
		if n := len(result(t, second, one.ID, true)); n != 201 {
			t.Errorf("%d lines of result, want 201", n)
		}
	})
}

// A node that hangs loses its lease; another goes on, and what the first one wakes up with is not stored.
func TestANodeThatHangsIsFenced(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		hang, wake := make(chan struct{}), make(chan struct{})
		slow := &stamp{db: db, rows: 60, each: 10, before: func(_ context.Context, place int) {
			if place == 30 {
				close(hang)
				<-wake
			}
		}}
		alone := func(c *job.Config) { c.Workers = 1 } // else it would take the job up itself
		first := jobs(t, db, "n0", slow, alone)
		one := create(t, first, job.NewJob{})
		run(t, first)
		<-hang
		second := jobs(t, db, "n1", &stamp{db: db, rows: 60, each: 10}, nil)
		run(t, second)
		harness.Eventually(t, time.Minute, "another takes it", func() bool {
			err := db.Update(t.Context(), func(tx *store.Tx) error { // as if its time were over; what is left alive of the first may prolong it meanwhile
				_, err := tx.Exec(t.Context(), `UPDATE job SET lease = 1 WHERE node = 'n0' AND state = ?`, int64(job.Running))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := second.Get(t.Context(), one.ID)
			return err == nil && got.Node == "n1"
		})
		one = ended(t, second, one.ID)
		close(wake)
		if one.State != job.Done || one.Node != "n1" || one.Done() != 60 || written(t, db, one.ID) != 60 {
			t.Errorf("ended: %+v", one)
		}
		if n := len(result(t, second, one.ID, true)); n != 61 {
			t.Errorf("%d lines of result, want 61", n)
		}
	})
}

func TestCancel(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		reached := make(chan struct{})
		goOn := make(chan struct{})
		j := jobs(t, db, "n0", &stamp{db: db, rows: 100, each: 10, before: func(_ context.Context, place int) {
			if place == 30 {
				close(reached)
				<-goOn
			}
		}}, nil)
		waiting := create(t, j, job.NewJob{Input: strings.NewReader("x")})
		got, err := j.Cancel(t.Context(), waiting.ID)
		if err != nil || got.State != job.Cancelled || got.Finished.IsZero() {
			t.Errorf("cancel of a waiting job: %+v, %v", got, err)
		}
		running := create(t, j, job.NewJob{})
		run(t, j)
		<-reached
		if got, err = j.Cancel(t.Context(), running.ID); err != nil || !got.Cancelling || got.State != job.Running {
			t.Errorf("cancel of a running job: %+v, %v", got, err)
		}
		close(goOn)
		if got = ended(t, j, running.ID); got.State != job.Cancelled || got.Done() != 40 {
			t.Errorf("cancelled: %+v", got)
		}
		if n := len(result(t, j, running.ID, true)); n != 41 {
			t.Errorf("%d lines of result, want what was done before", n)
		}
		if _, err := j.Cancel(t.Context(), "nothing"); !errors.Is(err, job.ErrNotFound) {
			t.Errorf("cancel of no job: %v", err)
		}
	})
}

func TestJobsThatFail(t *testing.T) {
	db := storetest.SQLite(t)
	tests := []struct {
		name, want string
		err        error
	}{
		{"for a reason to tell", "the header has no deviceSN", &job.Fatal{Reason: "the header has no deviceSN"}},
		{"for another", "something unexpected", errors.New("secret detail")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := jobs(t, db, "n0", &stamp{open: func(*job.Task) error { return tt.err }}, nil)
			one := create(t, j, job.NewJob{})
			run(t, j)
			if one = ended(t, j, one.ID); one.State != job.Failed || !strings.HasPrefix(one.Error, tt.want) || strings.Contains(one.Error, "secret") {
				t.Errorf("got %v %q, want failed %q", one.State, one.Error, tt.want)
			}
		})
	}
}

// A job that makes its hub die is not begun for ever.
func TestGivesUpWithoutProgress(t *testing.T) {
	db := storetest.SQLite(t)
	j := jobs(t, db, "n0", &stamp{db: db, rows: 1, each: 1}, nil)
	one := create(t, j, job.NewJob{})
	if err := db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE job SET tries = 5, state = 2, node = 'n0', lease = 99999999999999`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	run(t, j)
	if one = ended(t, j, one.ID); one.State != job.Failed || !strings.Contains(one.Error, "without any progress") {
		t.Errorf("got %v %q", one.State, one.Error)
	}
}

func TestTransientErrorsAreWaitedOut(t *testing.T) {
	db := storetest.SQLite(t)
	var opened atomic.Int32
	j := jobs(t, db, "n0", &stamp{db: db, rows: 5, each: 5, open: func(*job.Task) error {
		if opened.Add(1) < 3 {
			return fmt.Errorf("open: %w", store.ErrUnavailable)
		}
		return nil
	}}, nil)
	one := create(t, j, job.NewJob{})
	run(t, j)
	if one = ended(t, j, one.ID); one.State != job.Done || opened.Load() != 3 {
		t.Errorf("got %v after %d times", one.State, opened.Load())
	}
}

func TestInput(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		text := strings.Repeat("0123456789", 70_000) // more than two pieces
		var got string
		j := jobs(t, db, "n0", &stamp{open: func(task *job.Task) error {
			b, err := io.ReadAll(iotest.OneByteReader(io.LimitReader(task.Input(context.Background()), 10)))
			if err == nil {
				b, err = io.ReadAll(task.Input(context.Background()))
			}
			got = string(b)
			return err
		}}, func(c *job.Config) { c.MaxInput = 800_000 })
		one := create(t, j, job.NewJob{Input: strings.NewReader(text)})
		run(t, j)
		if one = ended(t, j, one.ID); one.State != job.Done || got != text {
			t.Errorf("%v %s: %d bytes read, want %d", one.State, one.Error, len(got), len(text))
		}
		broken := errors.New("the caller has gone")
		for _, tt := range []struct {
			input io.Reader
			want  error
		}{
			{io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), broken},
			{io.MultiReader(strings.NewReader(text), strings.NewReader(text)), job.ErrInputTooLarge},
		} {
			if _, err := j.Create(t.Context(), job.NewJob{Kind: "stamp", Input: tt.input}); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		}
		var rows, left int
		err := errors.Join(db.QueryRow(t.Context(), `SELECT COUNT(*) FROM job`).Scan(&rows), db.QueryRow(t.Context(), `SELECT COUNT(*) FROM job_input`).Scan(&left))
		if err != nil || rows != 1 || left != 0 {
			t.Errorf("%d jobs and %d pieces of input are left (%v), want 1 and 0", rows, left, err)
		}
	})
}

func TestOnlySoManyWait(t *testing.T) {
	j := jobs(t, storetest.SQLite(t), "n0", &stamp{}, func(c *job.Config) { c.Waiting = 2 })
	create(t, j, job.NewJob{})
	create(t, j, job.NewJob{})
	if _, err := j.Create(t.Context(), job.NewJob{Kind: "stamp"}); !errors.Is(err, job.ErrTooMany) {
		t.Errorf("got %v", err)
	}
	if _, err := j.Create(t.Context(), job.NewJob{Kind: "magic"}); !errors.Is(err, job.ErrUnknownKind) {
		t.Errorf("got %v", err)
	}
}

func TestWorkersAreBounded(t *testing.T) {
	db := storetest.SQLite(t)
	var now, most atomic.Int32
	meet, begun := make(chan struct{}), time.Now()
	j := jobs(t, db, "n0", &stamp{db: db, rows: 6, each: 1, before: func(context.Context, int) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		wait := time.Until(begun.Add(time.Minute)) // two meet if there are two
		if most.Load() >= 2 {
			wait = 20 * time.Millisecond // a third would come
		}
		select {
		case meet <- struct{}{}:
		case <-meet:
		case <-time.After(wait):
		}
		now.Add(-1)
	}}, func(c *job.Config) { c.Workers = 2 })
	var ids []string
	for range 5 {
		ids = append(ids, create(t, j, job.NewJob{}).ID)
	}
	run(t, j)
	for _, id := range ids {
		if one := ended(t, j, id); one.State != job.Done {
			t.Errorf("%s: %v", id, one.State)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d steps at a time, want 2", most.Load())
	}
}

func TestListAndTrim(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := jobs(t, db, "n0", &stamp{db: db, rows: 3, each: 3}, func(c *job.Config) { c.KeepCount, c.Keep = 3, time.Hour })
		run(t, j)
		var ids []string
		for i := range 6 {
			ids = append(ids, create(t, j, job.NewJob{Project: fmt.Sprintf("p%d", i%2)}).ID)
			ended(t, j, ids[i])
		}
		list, err := j.List(t.Context(), job.Filter{Limit: 2})
		if err != nil || len(list) != 2 || list[0].ID != ids[5] || list[1].ID != ids[4] {
			t.Fatalf("first page: %v, %v", list, err)
		}
		if list, err = j.List(t.Context(), job.Filter{Project: "p0", Before: ids[4], Limit: 10}); err != nil || len(list) != 2 || list[0].ID != ids[2] {
			t.Fatalf("second page of a project: %v, %v", list, err)
		}
		if n, err := j.Trim(t.Context(), time.Now()); err != nil || n != 3 {
			t.Errorf("trim by count: %d, %v", n, err)
		}
		if n, err := j.Trim(t.Context(), time.Now().Add(2*time.Hour)); err != nil || n != 3 {
			t.Errorf("trim by age: %d, %v", n, err)
		}
		var left int
		if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM job_result`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d pieces of result are left, %v", left, err)
		}
	})
}

// Two nodes share the jobs and no row is done twice.
func TestTwoNodes(t *testing.T) {
	db := storetest.Postgres(t)
	var both sync.WaitGroup // each has begun with one
	both.Add(2)
	on := func(node string) *job.Jobs {
		var first sync.Once
		kind := &stamp{db: db, rows: 60, each: 5, before: func(context.Context, int) {
			first.Do(both.Done)
			both.Wait()
		}}
		return jobs(t, db, node, kind, nil)
	}
	a, b := on("n0"), on("n1")
	var ids []string
	for range 8 {
		ids = append(ids, create(t, a, job.NewJob{}).ID)
	}
	run(t, a)
	run(t, b)
	nodes := map[string]int{}
	for _, id := range ids {
		one := ended(t, b, id)
		if nodes[one.Node]++; one.State != job.Done || one.Done() != 60 || written(t, db, id) != 60 || len(result(t, a, id, true)) != 61 {
			t.Errorf("%+v", one)
		}
	}
	if len(nodes) != 2 {
		t.Errorf("jobs by node: %v, want both", nodes)
	}
}
