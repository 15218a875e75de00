package metric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Health is what a node says of itself.
type Health struct {
	Version     string    `json:"version"`
	StartedAt   time.Time `json:"startedAt"`
	Connections int       `json:"connections"`
	Goroutines  int       `json:"goroutines"`
	HeapBytes   int64     `json:"heapBytes"`
	DiskFree    int64     `json:"diskFree"`   // bytes, of the data folder; -1 where that cannot be told
	StoreQueue  int       `json:"storeQueue"` // units that wait for the committer
}

// Node is a hub and what it has said last.
type Node struct {
	Name   string
	SeenAt time.Time
	Up     bool // it has said so lately
	Health Health
}

const (
	beatEvery = 15 * time.Second
	// downAfter is how long a node that says nothing counts as up.
	downAfter = 50 * time.Second
)

var writeNode = store.NewStmt(`INSERT INTO hub_node (node, seen_at, health) VALUES (?, ?, ?)
	ON CONFLICT (node) DO UPDATE SET seen_at = excluded.seen_at, health = excluded.health`)

// beat says now and then how this node is doing, until ctx ends.
func (h *History) beat(ctx context.Context) {
	for {
		b, err := json.Marshal(h.Health())
		if err == nil {
			err = h.Store.Do(ctx, &store.Unit{Ops: []store.Op{{Stmt: writeNode, Want: -1, Args: []any{h.cfg.Node, h.now().UnixMilli(), b}}}})
		}
		if err != nil && ctx.Err() == nil {
			h.Log.Warn("this node's health not written, it may look as if it were down", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(beatEvery):
		}
	}
}

// Nodes lists the hubs of the last days.
func (h *History) Nodes(ctx context.Context) (list []Node, err error) {
	rows, err := h.Store.Query(ctx, `SELECT node, seen_at, health FROM hub_node ORDER BY node`)
	if err != nil {
		return nil, fmt.Errorf("metric: read nodes: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var n Node
		var seen int64
		var data []byte
		if err := rows.Scan(&n.Name, &seen, &data); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &n.Health); err != nil {
			return nil, fmt.Errorf("metric: read node %s: %w", n.Name, err)
		}
		n.SeenAt = time.UnixMilli(seen).UTC()
		n.Up = h.now().Sub(n.SeenAt) < downAfter
		list = append(list, n)
	}
	return list, nil
}
