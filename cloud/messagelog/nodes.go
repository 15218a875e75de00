package messagelog

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Every node has its own log and says so in the store, so that others know whom to ask, and whom they miss. A node that has said
// nothing for as long as logs are kept has nothing that could be missed.

const (
	announceEvery = 10 * time.Minute
	// nodeTimeout is longer than a node's own budget.
	nodeTimeout = budget + 8*time.Second
)

var announceNode = store.NewStmt(`INSERT INTO message_log_node (node, seen_at) VALUES (?, ?)
	ON CONFLICT (node) DO UPDATE SET seen_at = excluded.seen_at`)

// announce says now and then that this node has a log.
func (l *Log) announce(ctx context.Context) {
	for {
		err := l.Store.Do(ctx, &store.Unit{Ops: []store.Op{announceNode.Op(l.cfg.Node, l.now().UnixMilli())}})
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("node not announced, its part of the message log may not be asked for", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(announceEvery):
		}
	}
}

// others are the nodes beside this one that may have logged something that is still kept.
func (l *Log) others(ctx context.Context) ([]string, error) {
	since := int64(0)
	if age := l.cfg.Segment.MaxAge; age > 0 {
		since = l.now().Add(-age - announceEvery).UnixMilli()
	}
	rows, err := l.Store.Query(ctx, `SELECT node FROM message_log_node WHERE seen_at >= ? AND node <> ? ORDER BY node`, since, l.cfg.Node)
	if err != nil {
		return nil, fmt.Errorf("message log: read nodes: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below tells
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("message log: read nodes: %w", err)
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// List returns records of all nodes: behind c, at most limit, the youngest first when backward. A page may be short, or empty, and
// still have More: what it looked at took long enough.
func (l *Log) List(ctx context.Context, f Filter, c Cursor, limit int, backward bool) (Page, error) {
	limit = min(max(limit, 1), MaxLimit)
	names, err := l.others(ctx)
	if err != nil {
		return Page{}, err
	}
	var (
		mu      sync.Mutex // guards the two below
		answers = map[string]answer{}
		missing []string
		wg      sync.WaitGroup
	)
	for _, name := range names {
		pos := c.of(name, backward)
		wg.Go(func() {
			a, err := l.remote(ctx, name, question{Filter: f, pos: pos, limit: limit, backward: backward})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				l.Log.Debug("node's message log not asked", "node", name, "err", err)
				missing = append(missing, name)
				return
			}
			answers[name] = a
		})
	}
	own, err := l.local(ctx, question{Filter: f, pos: c[l.cfg.Node], limit: limit, backward: backward})
	wg.Wait()
	if err != nil {
		return Page{}, fmt.Errorf("message log: %w", err)
	}
	answers[l.cfg.Node] = own
	p := merge(answers, c, limit, backward)
	slices.Sort(missing)
	p.Missing = missing
	return p, nil
}

// End is a cursor at the end of the log as it is now: List from there, forward, returns what comes from now on.
func (l *Log) End() Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Cursor{l.cfg.Node: max(l.last, 1)}
}

// Message returns everything that was logged of one message, by the time when it happened. Nothing is not an error.
func (l *Log) Message(ctx context.Context, id message.ID) (p Page, err error) {
	f := Filter{ID: id, From: id.Time().Add(-time.Minute)}
	var all []Record
	for more := true; more && len(all) < MaxLimit; more = p.More {
		if p, err = l.List(ctx, f, p.Next, MaxLimit, false); err != nil {
			return p, err
		}
		all = append(all, p.Records...)
	}
	slices.SortStableFunc(all, func(a, b Record) int { return a.At.Compare(b.At) })
	p.Records = all
	return p, nil
}

// What nodes ask each other, as CBOR.
type wireQuestion struct {
	Product  string   `json:"p,omitempty"`
	Device   string   `json:"d,omitempty"`
	App      string   `json:"a,omitempty"`
	Kinds    []string `json:"k,omitempty"`
	Results  []string `json:"r,omitempty"`
	ID       int64    `json:"i,omitempty"`
	Contains string   `json:"c,omitempty"`
	From     int64    `json:"f,omitempty"` // µs
	To       int64    `json:"t,omitempty"`
	Pos      int64    `json:"o,omitempty"`
	Limit    int      `json:"l"`
	Backward bool     `json:"b,omitempty"`
}

type wireAnswer struct {
	Records []wireRecord `json:"r"`
	End     int64        `json:"e"`
	More    bool         `json:"m,omitempty"`
	Damaged bool         `json:"d,omitempty"`
	Error   string       `json:"x,omitempty"`
}

type wireRecord struct {
	Logged int64  `json:"t"`
	ID     int64  `json:"i,omitempty"`
	Data   []byte `json:"d"`
}

func subject(node string) string { return "hawser.node." + node + ".messagelog" }

// remote asks another node.
func (l *Log) remote(ctx context.Context, node string, q question) (a answer, err error) {
	w := wireQuestion{Product: q.Product, Device: q.Device, App: q.Application, Kinds: q.Kinds, ID: int64(q.ID), Contains: q.Contains, Pos: q.pos, Limit: q.limit,
		Backward: q.backward}
	for _, r := range q.Results {
		w.Results = append(w.Results, string(r))
	}
	if !q.From.IsZero() {
		w.From = q.From.UnixMicro()
	}
	if !q.To.IsZero() {
		w.To = q.To.UnixMicro()
	}
	b, err := codec.Marshal(codec.CBOR, w)
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	reply, err := l.Bus.Request(ctx, subject(node), b)
	if err != nil {
		return a, err
	}
	var got wireAnswer
	if err := codec.Unmarshal(reply, &got); err != nil {
		return a, err
	}
	if got.Error != "" {
		return a, fmt.Errorf("node %s: %s", node, got.Error)
	}
	a = answer{end: got.End, more: got.More, damaged: got.Damaged}
	for _, wr := range got.Records {
		r, err := parse(wr.Data)
		if err != nil {
			return a, err
		}
		r.ID, r.Logged, r.Node = message.ID(wr.ID), time.UnixMicro(wr.Logged).UTC(), node
		a.records = append(a.records, r)
	}
	return a, nil
}

// serve answers other nodes until stop is called, one question after the other.
func (l *Log) serve(ctx context.Context) (stop func(), err error) {
	return l.Bus.Subscribe(subject(l.cfg.Node), func(_ string, b []byte) []byte {
		got := l.ask(ctx, b)
		reply, err := codec.Marshal(codec.CBOR, got)
		if err != nil {
			l.Log.Error("answer to another node not encoded", "err", err)
		}
		return reply
	})
}

func (l *Log) ask(ctx context.Context, b []byte) (got wireAnswer) {
	var w wireQuestion
	if err := codec.Unmarshal(b, &w); err != nil {
		return wireAnswer{Error: err.Error()}
	}
	q := question{Filter: Filter{Product: w.Product, Device: w.Device, Application: w.App, Kinds: w.Kinds, ID: message.ID(w.ID), Contains: w.Contains},
		pos: w.Pos, limit: min(max(w.Limit, 1), MaxLimit), backward: w.Backward}
	for _, r := range w.Results {
		q.Results = append(q.Results, uplink.Result(r))
	}
	if w.From != 0 {
		q.From = time.UnixMicro(w.From)
	}
	if w.To != 0 {
		q.To = time.UnixMicro(w.To)
	}
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	a, err := l.local(ctx, q)
	if err != nil {
		return wireAnswer{Error: err.Error()}
	}
	got = wireAnswer{End: a.end, More: a.more, Damaged: a.damaged}
	for i := range a.records {
		r := &a.records[i]
		got.Records = append(got.Records, wireRecord{Logged: r.Logged.UnixMicro(), ID: int64(r.ID), Data: r.raw})
	}
	return got
}
