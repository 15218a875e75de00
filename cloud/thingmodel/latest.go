package thingmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// latest are the latest values of a device. It never changes: a post makes a new one of it.
//
// The stored form is one byte version (1) and the JSON text that rules see on property/document:
//
//	{"LatestUpdateTime":ms,"Property":{"t":{"Value":21.5,"Time":ms},…}}
//
// with identifiers ascending.
//
// The next message of a device is handled before the last one is committed, so a row's guard has to notice that its
// predecessor was not stored, even when another node stored something in its place. revision does that: a chain of
// writes starts at a random number and counts up. A write in the chain is guarded by "the row has my revision less
// one", which no other chain can satisfy; the first write of a chain compares with the revision that was read. A write
// that misses breaks its chain: it leaves the cache, and all that follow in it miss too and are handled anew.
type latest struct {
	chain    *chain
	revision int64
	exact    bool // revision was read from the store: no write of this chain has begun yet
	stored   []byte
	updated  int64 // the newest Time, Unix ms
	entries  []entry
}

type chain struct{ _ byte } // not empty: distinct empty structs may share an address

// entry is one property in latest.stored.
type entry struct {
	id      string
	time    int64
	at, end int // the value is stored[at:end]
}

func (l *latest) value(e *entry) []byte { return l.stored[e.at:e.end] }

// document is the JSON text in the stored form.
func (l *latest) document() []byte {
	if len(l.stored) == 0 {
		return []byte(`{"LatestUpdateTime":0,"Property":{}}`)
	}
	return l.stored[1:]
}

const latestVersion = 1

// change is a value that a device posted.
type change struct {
	id    string
	value codec.Value
	time  int64
}

// news drops from changes what is older than the stored value, in place. changes must be ascending.
func (l *latest) news(changes []change) []change {
	kept := changes[:0]
	i := 0
	for _, c := range changes {
		for i < len(l.entries) && l.entries[i].id < c.id {
			i++
		}
		if i < len(l.entries) && l.entries[i].id == c.id && c.time < l.entries[i].time {
			continue
		}
		kept = append(kept, c)
	}
	return kept
}

// with returns the values after changes, which must be ascending and valid.
func (l *latest) with(changes []change, model *thing.Model) *latest {
	n := &latest{chain: l.chain, revision: l.revision + 1, updated: l.updated}
	if l.exact {
		// Half the range, so that a chain never meets the end of an int64.
		n.chain, n.revision = &chain{}, rand.Int64N(1<<62)+1
	}
	for _, c := range changes {
		n.updated = max(n.updated, c.time)
	}
	n.entries = make([]entry, 0, l.countWith(changes))
	// What changes takes about the room that it took, and what is new more than that. The cache keeps what is made here.
	n.stored = make([]byte, 0, len(l.stored)+8*len(changes)+96*(cap(n.entries)-len(l.entries))+48)
	n.stored = append(n.stored, latestVersion)
	n.stored = append(n.stored, `{"LatestUpdateTime":`...)
	n.stored = strconv.AppendInt(n.stored, n.updated, 10)
	n.stored = append(n.stored, `,"Property":{`...)
	old := l.entries
	for len(old) > 0 || len(changes) > 0 {
		switch {
		case len(changes) == 0 || len(old) > 0 && old[0].id < changes[0].id:
			n.keep(l, &old[0])
			old = old[1:]
		case len(old) > 0 && old[0].id == changes[0].id:
			n.add(old[0].id, &changes[0], model)
			old, changes = old[1:], changes[1:]
		default:
			n.add(strings.Clone(changes[0].id), &changes[0], model)
			changes = changes[1:]
		}
	}
	n.stored = append(n.stored, '}', '}')
	return n
}

// countWith counts the entries after changes.
func (l *latest) countWith(changes []change) int {
	n, i := len(l.entries), 0
	for _, c := range changes {
		for i < len(l.entries) && l.entries[i].id < c.id {
			i++
		}
		if i == len(l.entries) || l.entries[i].id != c.id {
			n++
		}
	}
	return n
}

func (l *latest) open(id string, at int64) {
	if len(l.entries) > 0 {
		l.stored = append(l.stored, ',')
	}
	l.stored = codec.AppendString(l.stored, id)
	l.stored = append(l.stored, `:{"Value":`...)
	l.entries = append(l.entries, entry{id: id, time: at, at: len(l.stored)})
}

func (l *latest) shut() {
	e := &l.entries[len(l.entries)-1]
	e.end = len(l.stored)
	l.stored = append(l.stored, `,"Time":`...)
	l.stored = strconv.AppendInt(l.stored, e.time, 10)
	l.stored = append(l.stored, '}')
}

func (l *latest) keep(from *latest, e *entry) {
	l.open(e.id, e.time)
	l.stored = append(l.stored, from.value(e)...)
	l.shut()
}

func (l *latest) add(id string, c *change, model *thing.Model) {
	l.open(id, c.time)
	l.stored = model.AppendProperty(l.stored, id, c.value)
	l.shut()
}

var (
	// putLatest continues a chain, or starts one where there is no row.
	putLatest = store.NewStmt(`INSERT INTO latest (device, revision, doc, updated_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (device) DO UPDATE SET revision = excluded.revision, doc = excluded.doc, updated_at = excluded.updated_at
		WHERE latest.revision = excluded.revision - 1`)
	// startLatest starts a chain where there is a row.
	startLatest = store.NewStmt(`UPDATE latest SET revision = ?, doc = ?, updated_at = ? WHERE device = ? AND revision = ?`)
)

// write stores next in the place of l.
func (l *latest) write(deviceID int64, next *latest, at time.Time) store.Op {
	if l.exact && l.stored != nil {
		return startLatest.Guard(next.revision, next.stored, at.UnixMilli(), deviceID, l.revision)
	}
	return putLatest.Guard(deviceID, next.revision, next.stored, at.UnixMilli())
}

// load returns the latest values of a device with what is on its way to the store; t.computing must be held.
func (t *Things) load(ctx context.Context, deviceID int64) (*latest, error) {
	if l, ok := t.latest.Get(deviceID); ok {
		return l, nil
	}
	ticket := t.latest.Ticket(deviceID)
	l, err := t.read(ctx, deviceID)
	if err != nil {
		return nil, err
	}
	t.latest.Fill(deviceID, ticket, l)
	return l, nil
}

// read returns the committed latest values.
func (t *Things) read(ctx context.Context, deviceID int64) (*latest, error) {
	var (
		revision int64
		stored   []byte
	)
	err := t.Store.QueryRow(ctx, `SELECT revision, doc FROM latest WHERE device = ?`, deviceID).Scan(&revision, &stored)
	if errors.Is(err, store.ErrNoRows) {
		return &latest{exact: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("thingmodel: read latest values of device %d: %w", deviceID, err)
	}
	l, err := parseLatest(stored)
	if err != nil {
		return nil, fmt.Errorf("thingmodel: latest values of device %d: %w", deviceID, err)
	}
	l.revision, l.exact = revision, true
	return l, nil
}

var errStored = errors.New("stored form is damaged or newer than this program")

// parseLatest reads the stored form.
func parseLatest(stored []byte) (*latest, error) {
	if len(stored) == 0 || stored[0] != latestVersion {
		return nil, errStored
	}
	doc, err := codec.Decode(stored[1:], codec.Limits{Size: 64 << 20, Depth: 64, Count: 1 << 20})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStored, err)
	}
	defer doc.Release()
	l := &latest{}
	l.stored = append(make([]byte, 0, len(stored)), latestVersion)
	l.updated, _ = doc.Root().Get("LatestUpdateTime").Int()
	l.stored = append(l.stored, `{"LatestUpdateTime":`...)
	l.stored = strconv.AppendInt(l.stored, l.updated, 10)
	l.stored = append(l.stored, `,"Property":{`...)
	doc.Root().Get("Property").Each(func(id string, v codec.Value) bool {
		at, _ := v.Get("Time").Int()
		l.open(strings.Clone(id), at)
		l.stored = v.Get("Value").AppendJSON(l.stored)
		l.shut()
		return true
	})
	l.stored = append(l.stored, '}', '}')
	if !slices.IsSortedFunc(l.entries, func(a, b entry) int { return strings.Compare(a.id, b.id) }) {
		return nil, fmt.Errorf("%w: identifiers are out of order", errStored)
	}
	return l, nil
}

// Value is the latest value of a property.
type Value struct {
	Identifier string
	Value      json.RawMessage
	Time       time.Time // when the device measured it, by its own clock if it told
}

// Latest returns the latest values of a device by ascending identifier, as they are committed.
func (t *Things) Latest(ctx context.Context, dev ident.Device) ([]Value, error) {
	d, err := t.Registry.Device(ctx, dev)
	if err != nil {
		return nil, err
	}
	l, err := t.read(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	list := make([]Value, len(l.entries))
	for i := range l.entries {
		e := &l.entries[i]
		list[i] = Value{Identifier: e.id, Value: l.value(e), Time: time.UnixMilli(e.time).UTC()}
	}
	return list, nil
}
