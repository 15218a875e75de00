package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
)

const (
	// numberEvery is how often the newest MessageID is written down; numberMargin is more than what may have been given
	// since, so that a hub that died does not give one twice, even when its clock has stepped back meanwhile.
	numberEvery  = 10 * time.Second
	numberMargin = 12 * time.Second
)

// numbers are this node's MessageIDs, never earlier than the last one before a restart.
type numbers struct {
	*message.IDs
	db  *store.DB
	key string
	log *slog.Logger
}

func openNumbers(ctx context.Context, db *store.DB, node int, log *slog.Logger) (*numbers, error) {
	n := &numbers{db: db, key: fmt.Sprintf("message_id.%d", node), log: log}
	var stored []byte
	err := db.QueryRow(ctx, `SELECT value FROM setting WHERE key = ?`, n.key).Scan(&stored)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return nil, fmt.Errorf("read the last MessageID: %w", err)
	}
	var floor message.ID
	if err == nil {
		if floor, err = message.ParseID(string(stored)); err != nil {
			return nil, fmt.Errorf("read the last MessageID: %w", err)
		}
	}
	n.IDs = message.NewIDs(uint16(node), floor, time.Now)
	return n, n.save(ctx, numberMargin) // before the first one is given
}

// Run writes down how far the numbers have come, until ctx ends.
func (n *numbers) Run(ctx context.Context) error {
	tick := time.NewTicker(numberEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := n.save(ctx, numberMargin); err != nil && ctx.Err() == nil {
				n.log.Warn("MessageID not written down; trying again", "err", err)
			}
		}
	}
}

// close writes down the exact number, when nobody takes one any more.
func (n *numbers) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return n.save(ctx, 0)
}

func (n *numbers) save(ctx context.Context, ahead time.Duration) error {
	// The number's milliseconds begin at its 23rd bit.
	id := n.Next() + message.ID(ahead.Milliseconds()<<22)
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
			n.key, []byte(strconv.FormatInt(int64(id), 10)))
		return err
	})
	if err != nil {
		return fmt.Errorf("write the last MessageID: %w", err)
	}
	return nil
}
