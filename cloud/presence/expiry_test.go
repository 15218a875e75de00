package presence

import (
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// TestTrim: what is left of sessions goes when their expiry has passed, and not before.
func TestTrim(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		now := time.Now()
		ago := func(d time.Duration) int64 { return now.Add(-d).UnixMilli() }
		for device, s := range map[int64]struct {
			online, expiry, endedAt int64
		}{
			1: {0, 60, ago(2 * time.Minute)},
			2: {0, 60, ago(30 * time.Second)},
			3: {0, server.NoExpiry, ago(time.Hour)},
			4: {1, 60, ago(time.Hour)},
		} {
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				for _, q := range []struct {
					text string
					args []any
				}{
					{`INSERT INTO session (device, epoch, persistent, online, expiry, ended_at) VALUES (?, 1, 1, ?, ?, ?)`, []any{device, s.online, s.expiry, s.endedAt}},
					{`INSERT INTO queue (device, seq, topic, payload) VALUES (?, 1, 't', ?)`, []any{device, []byte("x")}},
					{`INSERT INTO receipt (device, packet) VALUES (?, 7)`, []any{device}},
					{`INSERT INTO origin (device, slot) VALUES (?, 7)`, []any{device}},
				} {
					if _, err := tx.Exec(t.Context(), q.text, q.args...); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		p := &Presence{Deps: Deps{Store: db}}
		if n, err := p.Trim(t.Context(), now); err != nil || n != 1 {
			t.Errorf("trimmed %d, %v, want 1", n, err)
		}
		for table, column := range map[string]string{"queue": "1 = 1", "receipt": "1 = 1", "origin": "1 = 1", "session": "persistent = 1"} {
			var left, first int64
			err := db.QueryRow(t.Context(), `SELECT COUNT(*), MIN(device) FROM `+table+` WHERE `+column).Scan(&left, &first)
			if err != nil || left != 3 || first != 2 {
				t.Errorf("%s: %d left, the first of device %d, %v", table, left, first, err)
			}
		}
	})
}
