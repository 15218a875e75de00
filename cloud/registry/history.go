package registry

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Event is one end of a session. The numbers are stored.
type Event uint8

// The events of a connection history.
const (
	EventOnline  Event = 0
	EventOffline Event = 1
)

func (e Event) String() string {
	if e == EventOnline {
		return "online"
	}
	return "offline"
}

// Reasons in a history beside those that the door has for the end of a connection.
const (
	ReasonLogin    = "login"
	ReasonTakeOver = "take_over" // a login while an older session was open
	ReasonGateway  = "gateway"   // the gateway's connection ended, and with it its sub-devices'
	ReasonLost     = "lost"      // the hub itself had ended, and the device did not come back in time
)

// TransportGateway is the transport of a sub-device: its gateway's connection.
const TransportGateway = "gateway"

// Connection is an entry of a device's connection history: a session began or ended. Presence writes it in the unit that
// changes the device's state.
type Connection struct {
	At                                  time.Time
	Event                               Event
	Reason, Remote, Transport, Protocol string
	Epoch                               int64 // the session's
}

// HistoryConfig bounds what is kept of connections.
type HistoryConfig struct {
	MaxAge   time.Duration
	MaxCount int // entries a device
}

// DefaultHistoryConfig keeps 90 days and 100 entries a device.
func DefaultHistoryConfig() HistoryConfig {
	return HistoryConfig{MaxAge: 90 * 24 * time.Hour, MaxCount: 100}
}

// Validate names the field that is wrong.
func (c HistoryConfig) Validate() error {
	if c.MaxAge < time.Hour {
		return fmt.Errorf("registry: history max_age %v: must be at least 1h", c.MaxAge)
	}
	if c.MaxCount < 2 {
		return fmt.Errorf("registry: history max_count %d: must be at least 2, a session's begin and end", c.MaxCount)
	}
	return nil
}

// Connections lists a device's connection history, newest first; next is "" on the last page.
func (r *Registry) Connections(ctx context.Context, device int64, page Page) (list []Connection, next string, err error) {
	limit, after, err := page.open()
	if err != nil {
		return nil, "", err
	}
	epoch, event := everything.to, int64(EventOffline)
	if page.Cursor != "" {
		if event, err = strconv.ParseInt(after.text, 10, 8); err != nil {
			return nil, "", &ErrInvalid{"cursor", "was not made by this list: leave it out to start again"}
		}
		epoch = after.number
	}
	rows, err := r.db.Query(ctx, `SELECT at, event, reason, remote, transport, protocol, epoch FROM device_history
		WHERE device = ? AND (epoch, event) < (?, ?) ORDER BY epoch DESC, event DESC LIMIT ?`, device, epoch, event, limit+1)
	if err == nil {
		list, err = collect(rows, scanConnection)
	}
	if err != nil {
		return nil, "", fmt.Errorf("registry: connection history: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = cursor{list[limit-1].Epoch, strconv.Itoa(int(list[limit-1].Event))}.String()
	}
	return list, next, nil
}

func scanConnection(row scanner) (Connection, error) {
	var c Connection
	var at, event int64
	err := row.Scan(&at, &event, &c.Reason, &c.Remote, &c.Transport, &c.Protocol, &c.Epoch)
	c.At, c.Event = fromMillis(at), Event(event)
	return c, err
}

// History trims the connection histories of all devices.
type History struct {
	db     *store.DB
	cfg    HistoryConfig
	looked time.Time // up to when devices were looked at for their count
}

// NewHistory returns the trimmer; cfg must be valid.
func NewHistory(db *store.DB, cfg HistoryConfig) *History { return &History{db: db, cfg: cfg} }

// trimStep bounds what one transaction deletes, so that the group commits which wait for it do not wait long.
const trimStep = 1000

// Trim deletes entries that are too old, and the oldest of devices that have too many. It is not for concurrent use.
func (h *History) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	for {
		n, err := h.delete(ctx, `SELECT device, epoch, event FROM device_history WHERE at < ? ORDER BY at LIMIT ?`, millis(now.Add(-h.cfg.MaxAge)), trimStep)
		removed += n
		if err != nil {
			return removed, fmt.Errorf("registry: trim the connection history: %w", err)
		}
		if n < trimStep {
			break
		}
	}
	n, err := h.trimCounts(ctx)
	if removed += n; err != nil {
		return removed, fmt.Errorf("registry: trim the connection history: %w", err)
	}
	h.looked = now.Add(-time.Minute) // a unit's time is a little older than its commit
	return removed, nil
}

// trimCounts looks at the devices that have new entries since it looked last.
func (h *History) trimCounts(ctx context.Context) (removed int, err error) {
	after := int64(0)
	for {
		rows, err := h.db.Query(ctx, `SELECT device, COUNT(*) FROM device_history WHERE device IN
			(SELECT DISTINCT device FROM device_history WHERE at >= ? AND device > ? ORDER BY device LIMIT ?) GROUP BY device ORDER BY device`,
			millis(h.looked), after, trimStep)
		if err != nil {
			return removed, err
		}
		list, err := collect(rows, func(row scanner) (pair [2]int64, err error) { err = row.Scan(&pair[0], &pair[1]); return pair, err })
		if err != nil {
			return removed, err
		}
		for _, p := range list {
			if after = p[0]; p[1] <= int64(h.cfg.MaxCount) {
				continue
			}
			n, err := h.delete(ctx, `SELECT device, epoch, event FROM device_history WHERE device = ? ORDER BY epoch, event LIMIT ?`,
				p[0], p[1]-int64(h.cfg.MaxCount))
			removed += n
			if err != nil {
				return removed, err
			}
		}
		if len(list) < trimStep {
			return removed, nil
		}
	}
}

func (h *History) delete(ctx context.Context, which string, args ...any) (int, error) {
	var n int64
	err := h.db.Update(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM device_history WHERE (device, epoch, event) IN (`+which+`)`, args...)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return int(n), err
}
