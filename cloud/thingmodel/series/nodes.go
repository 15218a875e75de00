package series

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/codec"
)

// Every node has a log of its own and says so in the store, so that others know whom to ask, and whom they miss. A node that
// has said nothing for as long as values are kept has none.

// Peers is the way to the other nodes; the zero value is a hub of one node.
type Peers struct {
	Node  string // this node's name
	Store *store.DB
	Bus   *bus.Bus
}

const (
	announceEvery = 10 * time.Minute
	askTimeout    = 10 * time.Second
)

var announceNode = store.NewStmt(`INSERT INTO series_node (node, seen_at) VALUES (?, ?)
	ON CONFLICT (node) DO UPDATE SET seen_at = excluded.seen_at`)

// announce says now and then that this node has a log.
func (s *Series) announce(ctx context.Context) {
	for {
		err := s.peers.Store.Do(ctx, &store.Unit{Ops: []store.Op{announceNode.Op(s.peers.Node, time.Now().UnixMilli())}})
		if err != nil && ctx.Err() == nil {
			s.out.Warn("node not announced, its part of the history may not be asked for", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(announceEvery):
		}
	}
}

// others are the nodes beside this one that may have values that are still kept.
func (s *Series) others(ctx context.Context) ([]string, error) {
	if s.peers.Bus == nil {
		return nil, nil
	}
	since := int64(0)
	if s.age > 0 {
		since = time.Now().Add(-s.age - announceEvery).UnixMilli()
	}
	rows, err := s.peers.Store.Query(ctx, `SELECT node FROM series_node WHERE seen_at >= ? AND node <> ? ORDER BY node`, since, s.peers.Node)
	if err != nil {
		return nil, fmt.Errorf("series: read nodes: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below tells
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("series: read nodes: %w", err)
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// all asks every node; the answers are in the order of their names, this node's own first.
func (s *Series) all(ctx context.Context, q Query, at *cursor) (answers []answer, missing []string, err error) {
	names, err := s.others(ctx)
	if err != nil {
		return nil, nil, err
	}
	answers = make([]answer, len(names)+1)
	errs := make([]error, len(names)+1)
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { answers[i+1], errs[i+1] = s.remote(ctx, name, q, at) })
	}
	answers[0], errs[0] = s.local(ctx, q, at)
	wg.Wait()
	for i, err := range errs {
		switch {
		case err == nil:
		case i == 0 || errors.Is(err, ErrTooMuch):
			return nil, nil, err
		default:
			s.out.Debug("node's history not asked", "node", names[i-1], "err", err)
			missing = append(missing, names[i-1])
		}
	}
	return answers, missing, nil
}

// What nodes ask each other, as CBOR. Times are µs, 0 for none.
type wireQuestion struct {
	Device      int64    `json:"d"`
	Identifiers []string `json:"i"`
	From        int64    `json:"f,omitempty"`
	To          int64    `json:"t,omitempty"`
	Ascending   bool     `json:"a,omitempty"`
	Limit       int      `json:"l"`
	Most        int      `json:"m,omitempty"`
	Step        int64    `json:"s,omitempty"` // ms
	Fn          string   `json:"n,omitempty"`
	Cursor      string   `json:"c,omitempty"`
}

type wireAnswer struct {
	Samples []wireSample `json:"s"`
	End     int64        `json:"e,omitempty"`
	TooMuch bool         `json:"m,omitempty"`
	Error   string       `json:"x,omitempty"`
}

type wireSample struct {
	ID     string  `json:"i"`
	Time   int64   `json:"t"`
	N      int64   `json:"n"`
	Sum    float64 `json:"s,omitempty"`
	Min    float64 `json:"a,omitempty"`
	Max    float64 `json:"b,omitempty"`
	Last   []byte  `json:"l,omitempty"`
	LastAt int64   `json:"o,omitempty"`
}

func subject(node string) string { return "hawser.node." + node + ".series" }

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// remote asks another node.
func (s *Series) remote(ctx context.Context, node string, q Query, at *cursor) (a answer, err error) {
	w := wireQuestion{Device: q.Device, Identifiers: q.Identifiers, From: micros(q.From), To: micros(q.To), Ascending: q.Ascending, Limit: q.Limit,
		Most: q.Most, Step: q.Step.Milliseconds(), Fn: string(q.Fn)}
	if at != nil {
		w.Cursor = at.String()
	}
	b, err := codec.Marshal(codec.CBOR, w)
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	reply, err := s.peers.Bus.Request(ctx, subject(node), b)
	if err != nil {
		return a, err
	}
	var got wireAnswer
	if err := codec.UnmarshalLimits(reply, &got, codec.Limits{Size: 8 << 20, Count: 1 << 20}); err != nil {
		return a, err
	}
	if got.TooMuch {
		return a, ErrTooMuch
	}
	if got.Error != "" {
		return a, errors.New(got.Error)
	}
	a.end = fromMicros(got.End)
	for _, p := range got.Samples {
		a.samples = append(a.samples, sample{p.ID, fromMicros(p.Time), bucket{n: p.N, sum: p.Sum, min: p.Min, max: p.Max, last: p.Last, lastAt: fromMicros(p.LastAt)}})
	}
	return a, nil
}

// serve answers other nodes until stop is called.
func (s *Series) serve(ctx context.Context) (stop func(), err error) {
	return s.peers.Bus.Subscribe(subject(s.peers.Node), func(_ string, b []byte) []byte {
		reply, err := codec.Marshal(codec.CBOR, s.ask(ctx, b))
		if err != nil {
			s.out.Error("answer to another node not encoded", "err", err)
		}
		return reply
	})
}

func (s *Series) ask(ctx context.Context, b []byte) (got wireAnswer) {
	var w wireQuestion
	if err := codec.Unmarshal(b, &w); err != nil {
		return wireAnswer{Error: err.Error()}
	}
	at, err := parseCursor(w.Cursor)
	if err != nil {
		return wireAnswer{Error: err.Error()}
	}
	q := Query{Device: w.Device, Identifiers: w.Identifiers, From: fromMicros(w.From), To: fromMicros(w.To), Ascending: w.Ascending,
		Limit: min(max(w.Limit, 1), 10_000), Most: w.Most, Step: time.Duration(max(w.Step, 0)) * time.Millisecond, Fn: Fn(w.Fn)}
	if q.Step > 0 && !slices.Contains(Fns, q.Fn) {
		return wireAnswer{Error: "series: unknown function " + w.Fn}
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	a, err := s.local(ctx, q, at)
	if err != nil {
		return wireAnswer{Error: err.Error(), TooMuch: errors.Is(err, ErrTooMuch)}
	}
	got.End = micros(a.end)
	for i := range a.samples {
		p := &a.samples[i]
		got.Samples = append(got.Samples, wireSample{p.id, micros(p.time), p.n, p.sum, p.min, p.max, p.last, micros(p.lastAt)})
	}
	return got
}
