package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Numbers makes MessageIDs that never fall behind those of an earlier life of this node, whatever its clock does.
//
// It keeps a floor in the setting table that is ahead of every id given: at the start it goes on from there, and Run moves it.
// Ids of the first seconds after a quick restart may therefore be up to ahead later than the clock.
type Numbers struct {
	*message.IDs
	db     *store.DB
	log    *slog.Logger
	key    string
	stored message.ID
	used   atomic.Bool
}

const (
	floorAhead = 10 * time.Second
	floorEvery = 4 * time.Second
)

// OpenNumbers reads the floor of the node and moves it ahead.
func OpenNumbers(ctx context.Context, db *store.DB, node uint16, log *slog.Logger) (*Numbers, error) {
	n := &Numbers{db: db, log: log, key: "message_id.floor." + strconv.Itoa(int(node))}
	floor, err := n.read(ctx)
	if err != nil {
		return nil, err
	}
	n.IDs = message.NewIDs(node, floor, time.Now)
	n.stored = floor
	if err := n.move(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// Next returns the next id.
func (n *Numbers) Next() message.ID {
	if !n.used.Load() {
		n.used.Store(true)
	}
	return n.IDs.Next()
}

// Run keeps the floor ahead while ids are given, until ctx ends.
func (n *Numbers) Run(ctx context.Context) error {
	tick := time.NewTicker(floorEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !n.used.Swap(false) {
			continue
		}
		if err := n.move(ctx); err != nil && ctx.Err() == nil {
			n.used.Store(true)
			n.log.Warn("floor of message ids not stored", "err", err)
		}
	}
}

func (n *Numbers) read(ctx context.Context) (message.ID, error) {
	var text []byte
	err := n.db.QueryRow(ctx, `SELECT value FROM setting WHERE key = ?`, n.key).Scan(&text)
	if errors.Is(err, store.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read floor of message ids: %w", err)
	}
	v, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("floor of message ids in setting %s is damaged: %w", n.key, err)
	}
	return message.ID(v), nil
}

// move stores a floor that is ahead of what is given until the next move.
func (n *Numbers) move(ctx context.Context) error {
	floor := max(n.stored, n.IDs.Next()+message.ID(floorAhead.Milliseconds())<<idMillisecond)
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
			n.key, []byte(strconv.FormatInt(int64(floor), 10)))
		return err
	})
	if err != nil {
		return fmt.Errorf("store floor of message ids: %w", err)
	}
	n.stored = floor
	return nil
}

// idMillisecond is how many bits of an id are below its milliseconds, see message.ID.
const idMillisecond = 22
