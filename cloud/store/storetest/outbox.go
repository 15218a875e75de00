package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// drain reads a shard from after on to its end, a few rows at a time, and returns the records and the last seq.
func drain(t *testing.T, db *store.DB, shard int, after int64) (records []string, last int64) {
	t.Helper()
	for {
		rows, err := db.Outbox().Read(t.Context(), shard, after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			return records, after
		}
		for _, r := range rows {
			if r.Seq <= after {
				t.Fatalf("seq %d after %d", r.Seq, after)
			}
			after = r.Seq
			for _, rec := range r.Records {
				records = append(records, string(rec))
			}
		}
	}
}

func emit(device int64, records ...string) *store.Unit {
	u := &store.Unit{Device: device}
	for _, r := range records {
		u.Out = append(u.Out, []byte(r))
	}
	return u
}

// testOutboxOrder lets 40 devices emit numbered records; each shard has its devices' records, each device's in order.
func testOutboxOrder(t *testing.T, db *store.DB) {
	const devices, each = 40, 25
	for n := 0; n < each; n += 5 {
		var units []*store.Unit
		for d := int64(1); d <= devices; d++ {
			for k := range 5 {
				units = append(units, emit(d, fmt.Sprintf("%d:%d", d, n+k)))
			}
		}
		for _, err := range submit(db, units...) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	next := make(map[int64]int)
	for shard := range store.Shards {
		records, _ := drain(t, db, shard, 0)
		for _, r := range records {
			var d int64
			var n int
			if _, err := fmt.Sscanf(r, "%d:%d", &d, &n); err != nil {
				t.Fatal(err)
			}
			if int(d%store.Shards) != shard || n != next[d] {
				t.Fatalf("shard %d: record %s, want number %d", shard, r, next[d])
			}
			next[d]++
		}
	}
	for d := int64(1); d <= devices; d++ {
		if next[d] != each {
			t.Errorf("device %d: %d records, want %d", d, next[d], each)
		}
	}
}

func testOutboxRefused(t *testing.T, db *store.DB) {
	bad := emit(1, "bad")
	bad.Ops = []store.Op{queued(1, 1), queued(1, 1)}
	stale := emit(1, "stale")
	stale.Epoch = 9
	missed := emit(1, "missed")
	missed.Ops = []store.Op{updateShadow.Guard([]byte("x"), int64(0), int64(1), int64(4))}
	together(t, db, emit(1, "one", ""), bad, stale, missed, emit(1, "two"), &store.Unit{Device: 1})
	if got, _ := drain(t, db, 1, 0); fmt.Sprint(got) != "[one  two]" {
		t.Errorf("got %q, want one, an empty record, two", got)
	}
}

// testOutboxUpdate has devices of one shard emit numbered records, by units and by administrative transactions in turn, some of which fail. A reader that
// follows sees what was committed, once, and each device's in order.
func testOutboxUpdate(t *testing.T, db *store.DB) {
	const writers, each, shard = 4, 40, 3
	failed := errors.New("failed")
	update := func(device int64, record string, end error) error {
		return db.Update(t.Context(), func(tx *store.Tx) error {
			tx.Out(device, []byte(record))
			tx.Out(device + 1) // nothing
			if _, err := tx.Exec(t.Context(), `INSERT INTO setting (key, value) VALUES (?, ?)`, record, []byte{}); err != nil {
				return err
			}
			return end
		})
	}
	var wg sync.WaitGroup
	for w := range int64(writers) {
		device := shard + w*store.Shards
		wg.Go(func() {
			for n := range each {
				var err error
				record := fmt.Sprintf("%d:%d", device, n)
				switch n % 3 {
				case 0:
					if err = update(device, record, failed); errors.Is(err, failed) {
						err = update(device, record, nil)
					}
				case 1:
					err = update(device, record, nil)
				default:
					err = db.Do(t.Context(), emit(device, record))
				}
				if err != nil {
					t.Errorf("record %s: %v", record, err)
				}
			}
		})
	}
	next := map[int64]int{}
	var last int64
	for deadline, n := time.Now().Add(time.Minute), 0; n < writers*each && time.Now().Before(deadline); {
		wake := db.Outbox().Wait(shard)
		var records []string
		if records, last = drain(t, db, shard, last); len(records) == 0 {
			select {
			case <-wake:
			case <-time.After(time.Second):
			}
		}
		n += len(records)
		for _, r := range records {
			var d int64
			var got int
			if _, err := fmt.Sscanf(r, "%d:%d", &d, &got); err != nil || got != next[d] {
				t.Fatalf("record %s, want number %d", r, next[d])
			}
			next[d]++
		}
	}
	wg.Wait()
	for w := range int64(writers) {
		if d := shard + w*store.Shards; next[d] != each {
			t.Errorf("device %d: %d records, want %d", d, next[d], each)
		}
	}
	if more, _ := drain(t, db, shard+1, 0); len(more) > 0 {
		t.Errorf("another shard has %q", more)
	}
}

func testOutboxWake(t *testing.T, db *store.DB) {
	o := db.Outbox()
	wait, other := o.Wait(3), o.Wait(4)
	if rows, err := o.Read(t.Context(), 3, 0, 10); err != nil || len(rows) != 0 {
		t.Fatalf("empty shard: got %v, %v", rows, err)
	}
	if errs := submit(db, emit(3, "x")); errs[0] != nil {
		t.Fatal(errs[0])
	}
	select {
	case <-wait:
	case <-time.After(time.Minute):
		t.Fatal("not woken")
	}
	select {
	case <-other:
		t.Error("another shard was woken")
	default:
	}
	if got, _ := drain(t, db, 3, 0); fmt.Sprint(got) != "[x]" {
		t.Errorf("got %v", got)
	}
}

// testOutboxTrim has two consumers at different places: what both have passed goes, and new rows get new numbers.
func testOutboxTrim(t *testing.T, db *store.DB) {
	ctx, o := t.Context(), db.Outbox()
	if errs := submit(db, emit(2, "before")); errs[0] != nil {
		t.Fatal(errs[0])
	}
	for _, c := range []string{"fast", "slow"} {
		if err := o.Register(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	start, err := o.Cursor(ctx, "slow", 2)
	if err != nil || start.Seq == 0 {
		t.Fatalf("a new consumer begins at the end: got %+v, %v", start, err)
	}
	for i := range 6 {
		if errs := submit(db, emit(2, fmt.Sprint(i)), emit(9, fmt.Sprint(i))); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	rows, err := o.Read(ctx, 2, start.Seq, 10)
	if err != nil || len(rows) != 6 {
		t.Fatalf("got %d rows, %v, want 6", len(rows), err)
	}
	save := func(consumer string, c store.Cursor) {
		t.Helper()
		if err := o.SaveCursor(ctx, consumer, 2, c); err != nil {
			t.Fatal(err)
		}
		if got, err := o.Cursor(ctx, consumer, 2); err != nil || got != c {
			t.Fatalf("cursor: got %+v, %v, want %+v", got, err, c)
		}
	}
	save("fast", store.Cursor{Seq: rows[5].Seq})
	save("slow", store.Cursor{Seq: rows[1].Seq, Idx: 3})
	trim := func(want int64) {
		t.Helper()
		if n, err := o.Trim(ctx); err != nil || n != want {
			t.Fatalf("trim: got %d, %v, want %d", n, err, want)
		}
	}
	trim(3) // "before" and the two that slow has passed
	wantCount(t, db, 4, `SELECT COUNT(*) FROM outbox WHERE shard = 2`)
	wantCount(t, db, 6, `SELECT COUNT(*) FROM outbox WHERE shard = 9`)
	if err := o.Forget(ctx, "slow"); err != nil {
		t.Fatal(err)
	}
	trim(4)
	if depth, err := o.Depth(ctx); err != nil || depth < 6 {
		t.Errorf("depth: got %d, %v, want at least 6", depth, err)
	}
	if errs := submit(db, emit(2, "after")); errs[0] != nil {
		t.Fatal(errs[0])
	}
	if got, last := drain(t, db, 2, rows[5].Seq); fmt.Sprint(got) != "[after]" || last <= rows[5].Seq {
		t.Errorf("got %v up to %d, want after", got, last)
	}
}

// testOutboxReadBack emits more than the memory of the tail holds: the oldest are read back from the database.
func testOutboxReadBack(t *testing.T, db *store.DB) {
	big := make([]byte, 300<<10)
	for i := range 40 { // 12 MiB, more than the default 8
		big[0] = byte(i)
		if errs := submit(db, &store.Unit{Device: 1, Out: [][]byte{append([]byte(nil), big...)}}, emit(2, "small")); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	records, _ := drain(t, db, 1, 0)
	if len(records) != 40 {
		t.Fatalf("got %d records, want 40", len(records))
	}
	for i, r := range records {
		if r[0] != byte(i) {
			t.Fatalf("record %d has number %d", i, r[0])
		}
	}
	if small, _ := drain(t, db, 2, 0); len(small) != 40 {
		t.Errorf("got %d small records, want 40", len(small))
	}
}
