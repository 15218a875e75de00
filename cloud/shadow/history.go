package shadow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
)

// HistoryConfig bounds what is kept of a shadow's changes.
type HistoryConfig struct {
	// Depth is how many of a shadow's last revisions are remembered; 0 remembers none. One that changed no value is not.
	Depth  int
	MaxAge time.Duration
}

// DefaultHistoryConfig remembers 100 revisions for 30 days.
func DefaultHistoryConfig() HistoryConfig {
	return HistoryConfig{Depth: 100, MaxAge: 30 * 24 * time.Hour}
}

// Actor is what made a change. The numbers are stored.
type Actor uint8

// The actors.
const (
	ActorHub    Actor = 0
	ActorDevice Actor = 1
	ActorUser   Actor = 2
	ActorKey    Actor = 3
)

func (a Actor) String() string {
	switch a {
	case ActorDevice:
		return "device"
	case ActorUser:
		return "user"
	case ActorKey:
		return "key"
	}
	return "hub"
}

// By says who made a change: of a user or a key Name is the id.
type By struct {
	Actor Actor
	Name  string
}

// Change is an entry of a shadow's history.
type Change struct {
	At       time.Time
	Revision int64
	Version  int32
	By       By
	What     []byte // JSON, see shadowdoc.AppendDiff
}

// maxChange bounds the bytes of Change.What.
const maxChange = 2048

// keepChange overwrites the oldest place of the ring.
var keepChange = store.NewStmt(`INSERT INTO shadow_history (device, slot, revision, version, at, actor, name, change) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (device, slot) DO UPDATE SET revision = excluded.revision, version = excluded.version, at = excluded.at, actor = excluded.actor,
		name = excluded.name, change = excluded.change`)

// rows are the operations of a change with their arguments, in one piece of memory.
type rows struct {
	ops  [2]store.Op
	args [5 + 8]any
}

// ops write a change of a document and, when it changed a value, its place in the history.
func (s *Shadows) ops(deviceID int64, from, to *shadowdoc.Document, at time.Time, by By) []store.Op {
	r := &rows{}
	var device, revision, version, ms any = deviceID, to.Revision, int64(to.Version), at.UnixMilli() // both rows share them
	document := append(r.args[:0:5], device, revision, version, to.Encode(), ms)
	r.ops[0] = upsert.Guard(document...)
	if s.History.Depth <= 0 {
		return r.ops[:1]
	}
	what, ok := shadowdoc.AppendDiff(make([]byte, 0, 128), from, to, maxChange)
	if !ok {
		return r.ops[:1]
	}
	change := append(r.args[5:5], device, to.Revision%int64(s.History.Depth), revision, version, ms, int64(by.Actor), by.Name, what)
	r.ops[1] = keepChange.Op(change...)
	return r.ops[:]
}

// Changes lists the last changes of a device's shadow, newest first, of revisions before before (0: all), at most limit.
func (s *Shadows) Changes(ctx context.Context, dev ident.Device, before int64, limit int) (list []Change, err error) {
	d, err := s.Registry.Device(ctx, dev)
	if err != nil {
		return nil, err
	}
	var newest int64
	err = s.Store.QueryRow(ctx, `SELECT revision FROM shadow WHERE device = ?`, d.ID).Scan(&newest)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("shadow: read history: %w", err)
	}
	if before <= 0 || before > newest {
		before = newest + 1
	}
	// A ring that was deeper once has places that nobody overwrites.
	rows, err := s.Store.Query(ctx, `SELECT revision, version, at, actor, name, change FROM shadow_history
		WHERE device = ? AND revision > ? AND revision < ? AND at >= ? ORDER BY revision DESC LIMIT ?`,
		d.ID, newest-int64(s.History.Depth), before, s.now().Add(-s.History.MaxAge).UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("shadow: read history: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var c Change
		var at, actor, version int64
		if err := rows.Scan(&c.Revision, &version, &at, &actor, &c.By.Name, &c.What); err != nil {
			return nil, fmt.Errorf("shadow: read history: %w", err)
		}
		c.Version, c.At, c.By.Actor = int32(version), time.UnixMilli(at).UTC(), Actor(actor)
		list = append(list, c)
	}
	return list, nil
}

// trimStep is how many entries one Trim looks at, so that a large fleet's history costs little at a time.
const trimStep = 20_000

// Trimmer deletes changes that are too old: it goes round all of them, some at each Trim.
type Trimmer struct {
	s            *Shadows
	device, slot int64 // where it stopped
}

// Trimmer returns the trimmer of the shadows' history; there is nobody who sees what it has not deleted yet.
func (s *Shadows) Trimmer() *Trimmer { return &Trimmer{s: s} }

// Trim deletes old entries among the next ones, and returns how many. It is not for concurrent use.
func (t *Trimmer) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	oldest := now.Add(-t.s.History.MaxAge).UnixMilli()
	rows, err := t.s.Store.Query(ctx, `SELECT device, slot, at FROM shadow_history WHERE (device, slot) > (?, ?) ORDER BY device, slot LIMIT ?`, t.device, t.slot, trimStep)
	if err != nil {
		return 0, fmt.Errorf("shadow: trim history: %w", err)
	}
	var old [][2]int64
	seen := 0
	for rows.Next() {
		var at int64
		if err = rows.Scan(&t.device, &t.slot, &at); err != nil {
			break
		}
		if seen++; at < oldest {
			old = append(old, [2]int64{t.device, t.slot})
		}
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return 0, fmt.Errorf("shadow: trim history: %w", err)
	}
	if seen < trimStep {
		t.device, t.slot = 0, 0
	}
	if len(old) == 0 {
		return 0, nil
	}
	err = t.s.Store.Update(ctx, func(tx *store.Tx) error {
		for _, one := range old {
			if _, err := tx.Exec(ctx, `DELETE FROM shadow_history WHERE device = ? AND slot = ? AND at < ?`, one[0], one[1], oldest); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("shadow: trim history: %w", err)
	}
	return len(old), nil
}

// buffer is the largest packet that a device takes, if it has ever connected.
func (s *Shadows) buffer(ctx context.Context, d *registry.Device) (bytes int, known bool) {
	if d.Activated.IsZero() {
		return 0, false
	}
	return s.Sender.Buffer(ctx, d.Identity), true
}
