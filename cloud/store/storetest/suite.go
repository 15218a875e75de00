package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// The statements of the suite, in the shapes that the domain packages use.
var (
	insertLatest = store.NewStmt(`INSERT INTO latest (device, revision, doc, updated_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (device) DO UPDATE SET revision = excluded.revision, doc = excluded.doc, updated_at = excluded.updated_at
		WHERE latest.revision = excluded.revision - 1`)
	updateShadow = store.NewStmt(`UPDATE shadow SET revision = revision + 1, doc = ?, updated_at = ? WHERE device = ? AND revision = ?`)
	insertQueue  = store.NewStmt(`INSERT INTO queue (device, seq, topic, payload) VALUES (?, ?, ?, ?)`)
	deleteQueue  = store.NewStmt(`DELETE FROM queue WHERE device = ? AND seq <= ?`)
	takeEpoch    = store.NewStmt(`INSERT INTO session (device, epoch, node) VALUES (?, ?, ?)
		ON CONFLICT (device) DO UPDATE SET epoch = excluded.epoch, node = excluded.node WHERE session.epoch = excluded.epoch - 1`)
	badSQL = store.NewStmt(`INSERT INTO no_such_table (x) VALUES (?)`)
)

func latest(device, revision int64, doc string) store.Op {
	return insertLatest.Guard(device, revision, []byte(doc), int64(1))
}

func queued(device, seq int64) store.Op {
	return insertQueue.Op(device, seq, "/t", []byte("p"))
}

// Run is the conformance suite: what store's package comment promises of units and of the outbox, each on an empty store
// that open returns.
func Run(t *testing.T, open func(t *testing.T) *store.DB) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, db *store.DB)
	}{
		{"UnitIsStoredWhole", testWhole},
		{"UnitsOfADeviceKeepTheirOrder", testOrder},
		{"GuardMissEndsOneUnit", testGuard},
		{"GuardsAfterEachOther", testGuardChain},
		{"StaleEpochIsFenced", testFence},
		{"TakeOverWithinABatch", testTakeOver},
		{"EpochChangedByUpdate", testFenceUpdate},
		{"BadUnitEndsAlone", testBadUnits},
		{"LateMissUndoesTheUnit", testLateMiss},
		{"DuplicateRowsInOneBatch", testDuplicates},
		{"ArgumentTypes", testArguments},
		{"Update", testUpdate},
		{"UpdateBesideUnits", testUpdateBeside},
		{"DoHonoursContext", testContext},
		{"CloseCommitsWhatIsQueued", testClose},
		{"OutboxKeepsOrder", testOutboxOrder},
		{"OutboxOnlyOfStoredUnits", testOutboxRefused},
		{"OutboxOfUpdates", testOutboxUpdate},
		{"OutboxWakes", testOutboxWake},
		{"OutboxCursorsAndTrim", testOutboxTrim},
		{"OutboxReadsBack", testOutboxReadBack},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// submit hands over all units at once and returns their outcomes.
func submit(db *store.DB, units ...*store.Unit) []error {
	results := make([]error, len(units))
	var wg sync.WaitGroup
	wg.Add(len(units))
	for i, u := range units {
		u.Done = func(err error) {
			results[i] = err
			wg.Done()
		}
	}
	for _, u := range units {
		db.Submit(u)
	}
	wg.Wait()
	return results
}

// together makes the units of submit share a batch, by keeping the committer busy with a first one.
func together(t *testing.T, db *store.DB, units ...*store.Unit) []error {
	t.Helper()
	hold, held := make(chan struct{}), make(chan struct{})
	db.Submit(&store.Unit{Device: 1 << 40, Done: func(error) { close(held); <-hold }})
	<-held
	go func() {
		// The committer stands in the Done above; release it once the units are queued or the queue is full.
		deadline := time.Now().Add(time.Minute)
		for db.Queued() < len(units) && time.Now().Before(deadline) {
			<-time.After(time.Millisecond)
		}
		close(hold)
	}()
	return submit(db, units...)
}

func wantErrors(t *testing.T, got []error, want ...error) {
	t.Helper()
	for i := range want {
		if !errors.Is(got[i], want[i]) || (want[i] == nil && got[i] != nil) {
			t.Errorf("unit %d: got %v, want %v", i, got[i], want[i])
		}
	}
}

func count(t *testing.T, db *store.DB, q string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := db.QueryRow(t.Context(), q, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return n
}

func wantCount(t *testing.T, db *store.DB, want int64, q string, args ...any) {
	t.Helper()
	if got := count(t, db, q, args...); got != want {
		t.Errorf("%s %v: got %d, want %d", q, args, got, want)
	}
}

func testWhole(t *testing.T, db *store.DB) {
	wantErrors(t, submit(db, &store.Unit{Device: 5, Ops: []store.Op{latest(5, 1, "doc"), queued(5, 1), queued(5, 2)}, Out: [][]byte{[]byte("r")}}), nil)
	var doc []byte
	if err := db.QueryRow(t.Context(), `SELECT doc FROM latest WHERE device = ?`, 5).Scan(&doc); err != nil || string(doc) != "doc" {
		t.Errorf("doc: got %q, %v", doc, err)
	}
	wantCount(t, db, 2, `SELECT COUNT(*) FROM queue`)
	wantErrors(t, submit(db, &store.Unit{Device: 5}), nil) // nothing to store is stored
}

// testOrder lets 8 devices count, each unit replacing what the one before left, from units that all wait at once.
func testOrder(t *testing.T, db *store.DB) {
	var units []*store.Unit
	for n := range 50 {
		for d := int64(1); d <= 8; d++ {
			units = append(units, &store.Unit{Device: d, Ops: []store.Op{
				deleteQueue.Op(d, int64(n)), queued(d, int64(n+1)), latest(d, int64(n+1), fmt.Sprint(n))}})
		}
	}
	for _, u := range units {
		u.Ops[0], u.Ops[2] = u.Ops[2], u.Ops[0] // the guard first
	}
	for i, err := range together(t, db, units...) {
		if err != nil {
			t.Fatalf("unit %d: %v", i, err)
		}
	}
	wantCount(t, db, 8, `SELECT COUNT(*) FROM latest WHERE revision = 50`)
	wantCount(t, db, 0, `SELECT COUNT(*) FROM queue WHERE seq < 50`)
}

func testGuard(t *testing.T, db *store.DB) {
	wantErrors(t, submit(db, &store.Unit{Device: 1, Ops: []store.Op{latest(1, 5, "five")}}), nil)
	got := together(t, db,
		&store.Unit{Device: 1, Ops: []store.Op{latest(1, 5, "stale"), queued(1, 1)}, Out: [][]byte{[]byte("stale")}},
		&store.Unit{Device: 2, Ops: []store.Op{latest(2, 1, "two"), queued(2, 1)}},
		&store.Unit{Device: 3, Ops: []store.Op{updateShadow.Guard([]byte("x"), int64(1), int64(3), int64(0)), queued(3, 1)}},
		&store.Unit{Device: 4, Ops: []store.Op{latest(4, 1, "four"), queued(4, 1)}},
	)
	wantErrors(t, got, store.ErrConflict, nil, store.ErrConflict, nil)
	wantCount(t, db, 0, `SELECT COUNT(*) FROM queue WHERE device IN (1, 3)`)
	wantCount(t, db, 2, `SELECT COUNT(*) FROM queue WHERE device IN (2, 4)`)
	wantCount(t, db, 5, `SELECT revision FROM latest WHERE device = 1`)
}

// testGuardChain has each unit of a device guard what the one before it wrote, with one gap.
func testGuardChain(t *testing.T, db *store.DB) {
	var units []*store.Unit
	for _, rev := range []int64{1, 2, 3, 5, 4, 5} {
		units = append(units, &store.Unit{Device: 9, Ops: []store.Op{latest(9, rev, "d"), queued(9, 10*rev+int64(len(units)))}})
	}
	wantErrors(t, together(t, db, units...), nil, nil, nil, store.ErrConflict, nil, nil)
	wantCount(t, db, 5, `SELECT revision FROM latest WHERE device = 9`)
	wantCount(t, db, 5, `SELECT COUNT(*) FROM queue WHERE device = 9`)
}

func testFence(t *testing.T, db *store.DB) {
	wantErrors(t, submit(db, &store.Unit{Device: 1, Ops: []store.Op{takeEpoch.Guard(int64(1), int64(1), "a")}}), nil)
	got := together(t, db,
		&store.Unit{Device: 1, Epoch: 1, Ops: []store.Op{queued(1, 1)}},
		&store.Unit{Device: 1, Epoch: 2, Ops: []store.Op{queued(1, 2)}, Out: [][]byte{[]byte("x")}},
		&store.Unit{Device: 2, Epoch: 1, Ops: []store.Op{queued(2, 1)}}, // no session at all
		&store.Unit{Device: 2, Ops: []store.Op{queued(2, 2)}},           // not fenced
	)
	wantErrors(t, got, nil, store.ErrFenced, store.ErrFenced, nil)
	wantCount(t, db, 2, `SELECT COUNT(*) FROM queue`)
}

// testTakeOver submits, in one go, units of a session, its take-over, and units of both sessions after it.
func testTakeOver(t *testing.T, db *store.DB) {
	wantErrors(t, submit(db, &store.Unit{Device: 1, Ops: []store.Op{takeEpoch.Guard(int64(1), int64(1), "a")}}), nil)
	wantErrors(t, submit(db, &store.Unit{Device: 1, Epoch: 1, Ops: []store.Op{queued(1, 1)}}), nil)
	got := together(t, db,
		&store.Unit{Device: 1, Epoch: 1, Ops: []store.Op{queued(1, 2)}},
		&store.Unit{Device: 1, Ops: []store.Op{takeEpoch.Guard(int64(1), int64(2), "b")}},
		&store.Unit{Device: 1, Epoch: 1, Ops: []store.Op{queued(1, 3)}},
		&store.Unit{Device: 1, Epoch: 2, Ops: []store.Op{queued(1, 4)}},
		&store.Unit{Device: 1, Ops: []store.Op{takeEpoch.Guard(int64(1), int64(2), "c")}}, // lost the race
		&store.Unit{Device: 1, Epoch: 2, Ops: []store.Op{queued(1, 5)}},
	)
	wantErrors(t, got, nil, nil, store.ErrFenced, nil, store.ErrConflict, nil)
	wantCount(t, db, 0, `SELECT COUNT(*) FROM queue WHERE seq = 3`)
	wantCount(t, db, 4, `SELECT COUNT(*) FROM queue`)
}

func testFenceUpdate(t *testing.T, db *store.DB) {
	set := func(epoch int64) {
		t.Helper()
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO session (device, epoch) VALUES (?, ?) ON CONFLICT (device) DO UPDATE SET epoch = excluded.epoch`, 1, epoch)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set(1)
	wantErrors(t, submit(db, &store.Unit{Device: 1, Epoch: 1, Ops: []store.Op{queued(1, 1)}}), nil)
	set(2)
	wantErrors(t, submit(db, &store.Unit{Device: 1, Epoch: 1, Ops: []store.Op{queued(1, 2)}}), store.ErrFenced)
	wantErrors(t, submit(db, &store.Unit{Device: 1, Epoch: 2, Ops: []store.Op{queued(1, 3)}}), nil)
}

// testBadUnits mixes good units with every way in which a statement fails; the good ones are stored.
func testBadUnits(t *testing.T, db *store.DB) {
	units := []*store.Unit{
		{Device: 1, Ops: []store.Op{queued(1, 1)}},
		{Device: 2, Ops: []store.Op{queued(2, 1), queued(2, 1)}}, // key taken by itself
		{Device: 3, Ops: []store.Op{queued(3, 1), badSQL.Op(int64(1))}},
		{Device: 4, Ops: []store.Op{insertQueue.Op(int64(4), int64(1), nil, []byte("p"))}}, // NULL in a NOT NULL column
		{Device: 5, Ops: []store.Op{insertQueue.Op(int64(5), int64(1))}},                   // arguments missing
		{Device: 6, Ops: []store.Op{insertQueue.Op(int64(6), int64(1), "/t", time.Now())}}, // a type that is not taken
		{Device: 1, Ops: []store.Op{queued(1, 1), queued(1, 7)}, Out: [][]byte{{1}}},       // key taken by the first
		{Device: 2, Ops: []store.Op{queued(2, 2)}},
		{Device: 3, Ops: []store.Op{latest(3, 1, "d"), queued(3, 2)}},
	}
	got := together(t, db, units...)
	for i, bad := range []bool{false, true, true, true, true, true, true, false, false} {
		if (got[i] != nil) != bad {
			t.Errorf("unit %d: got %v, want an error: %t", i, got[i], bad)
		}
		if errors.Is(got[i], store.ErrUnavailable) {
			t.Errorf("unit %d: its own fault is called the store's: %v", i, got[i])
		}
	}
	for _, i := range []int{1, 6} {
		if !store.IsUnique(got[i]) {
			t.Errorf("unit %d: got %v, want a unique violation", i, got[i])
		}
	}
	wantCount(t, db, 3, `SELECT COUNT(*) FROM queue`)
	wantCount(t, db, 0, `SELECT COUNT(*) FROM queue WHERE seq = 7`)
}

// testLateMiss has an operation after the first miss what it wants.
func testLateMiss(t *testing.T, db *store.DB) {
	miss := deleteQueue.Guard(int64(1), int64(1))
	got := together(t, db,
		&store.Unit{Device: 1, Ops: []store.Op{queued(1, 5), miss}},
		&store.Unit{Device: 2, Ops: []store.Op{queued(2, 5)}},
	)
	wantErrors(t, got, store.ErrConflict, nil)
	wantCount(t, db, 0, `SELECT COUNT(*) FROM queue WHERE device = 1`)
	wantCount(t, db, 1, `SELECT COUNT(*) FROM queue WHERE device = 2`)
}

// testDuplicates has two units of different streams write the same row in one batch.
func testDuplicates(t *testing.T, db *store.DB) {
	got := together(t, db,
		&store.Unit{Device: 1, Ops: []store.Op{latest(7, 1, "a")}},
		&store.Unit{Device: 2, Ops: []store.Op{latest(7, 2, "b")}},
		&store.Unit{Device: 3, Ops: []store.Op{latest(7, 2, "c")}},
	)
	wantErrors(t, got, nil, nil, store.ErrConflict)
	wantCount(t, db, 2, `SELECT revision FROM latest WHERE device = 7`)
}

type named string

func (named) String() string { return "must not be stored" }

func testArguments(t *testing.T, db *store.DB) {
	wantErrors(t, submit(db, &store.Unit{Device: 1, Ops: []store.Op{
		store.NewStmt(`INSERT INTO session (device, epoch, node, persistent, subs, keep_alive) VALUES (?, ?, ?, ?, ?, ?)`).
			Op(uint8(1), int32(7), named("node"), true, []byte{}, 60),
		store.NewStmt(`INSERT INTO session (device, epoch, node, persistent, subs) VALUES (?, ?, '?', ?, ?)`).
			Op(2, uint32(7), false, []byte(nil)),
	}}), nil)
	var epoch, keepAlive int
	var node string
	var persistent bool
	var subs []byte
	if err := db.QueryRow(t.Context(), `SELECT epoch, node, persistent, subs, keep_alive FROM session WHERE device = ?`, 1).
		Scan(&epoch, &node, &persistent, &subs, &keepAlive); err != nil {
		t.Fatal(err)
	}
	if epoch != 7 || node != "node" || !persistent || len(subs) != 0 || keepAlive != 60 {
		t.Errorf("got %v %q %v %v %v", epoch, node, persistent, subs, keepAlive)
	}
	if err := db.QueryRow(t.Context(), `SELECT node, persistent, subs FROM session WHERE device = ?`, 2).Scan(&node, &persistent, &subs); err != nil {
		t.Fatal(err)
	}
	if node != "?" || persistent || subs != nil {
		t.Errorf("got %q %v %v", node, persistent, subs)
	}
	if err := db.QueryRow(t.Context(), `SELECT node FROM session WHERE device = ?`, 3).Scan(&node); !errors.Is(err, store.ErrNoRows) {
		t.Errorf("got %v, want ErrNoRows", err)
	}
}

func testUpdate(t *testing.T, db *store.DB) {
	ctx := t.Context()
	put := func(tx *store.Tx, key string) error {
		_, err := tx.Exec(ctx, `INSERT INTO setting (key, value) VALUES (?, ?)`, key, []byte("v"))
		return err
	}
	if err := db.Update(ctx, func(tx *store.Tx) error { return put(tx, "a") }); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(ctx, func(tx *store.Tx) error { return put(tx, "a") }); !store.IsUnique(err) {
		t.Errorf("got %v, want a unique violation", err)
	}
	mine := errors.New("mine")
	err := db.Update(ctx, func(tx *store.Tx) error {
		if err := put(tx, "b"); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM setting`).Scan(&n); err != nil || n != 2 {
			t.Errorf("inside: got %d, %v, want 2", n, err)
		}
		return mine
	})
	if !errors.Is(err, mine) {
		t.Errorf("got %v, want the function's own error", err)
	}
	wantCount(t, db, 1, `SELECT COUNT(*) FROM setting`)
}

// testUpdateBeside runs administrative transactions while units are committed.
func testUpdateBeside(t *testing.T, db *store.DB) {
	var wg sync.WaitGroup
	for g := range int64(4) {
		wg.Go(func() {
			for n := range int64(50) {
				if err := db.Do(t.Context(), &store.Unit{Device: g + 1, Ops: []store.Op{latest(g+1, n+1, "x")}}); err != nil {
					t.Errorf("unit: %v", err)
				}
			}
		})
		wg.Go(func() {
			for n := range 10 {
				err := db.Update(t.Context(), func(tx *store.Tx) error {
					_, err := tx.Exec(t.Context(), `INSERT INTO setting (key, value) VALUES (?, ?)`, fmt.Sprint(g, "-", n), []byte{})
					return err
				})
				if err != nil {
					t.Errorf("update: %v", err)
				}
			}
		})
	}
	wg.Wait()
	wantCount(t, db, 40, `SELECT COUNT(*) FROM setting`)
	wantCount(t, db, 200, `SELECT CAST(SUM(revision) AS BIGINT) FROM latest`)
}

func testContext(t *testing.T, db *store.DB) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Do(ctx, &store.Unit{Device: 1, Ops: []store.Op{queued(1, 1)}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
	wantCount(t, db, 0, `SELECT COUNT(*) FROM queue`)
}

func testClose(t *testing.T, db *store.DB) {
	hold, held := make(chan struct{}), make(chan struct{})
	db.Submit(&store.Unit{Done: func(error) { close(held); <-hold }})
	<-held
	done := make(chan error, 2)
	db.Submit(&store.Unit{Device: 1, Ops: []store.Op{queued(1, 1)}, Done: func(err error) { done <- err }})
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	close(hold)
	if err := <-done; err != nil {
		t.Errorf("queued before Close: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	db.Submit(&store.Unit{Device: 1, Done: func(err error) { done <- err }})
	if err := <-done; !errors.Is(err, store.ErrClosed) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("after Close: got %v, want ErrClosed and ErrUnavailable", err)
	}
}
