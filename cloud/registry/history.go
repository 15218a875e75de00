package registry

import (
	"context"
	"fmt"
	"slices"
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

// Connection is an entry of a device's connection history: a session began or ended. Both are one row, which presence writes in the
// unit that ends the session; of an open session the row of session tells.
type Connection struct {
	At                                  time.Time
	Event                               Event
	Reason, Remote, Transport, Protocol string
	Epoch                               int64 // the session's
}

// HistoryConfig bounds what is kept of connections.
type HistoryConfig struct {
	MaxAge   time.Duration
	MaxCount int // entries a device; a session's two go together
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
	rows, err := r.db.Query(ctx, `SELECT epoch, began_at, ended_at, began, ended, remote, transport, protocol FROM
		(SELECT epoch, connected_at AS began_at, 0 AS ended_at, began, '' AS ended, remote, transport, protocol FROM session WHERE device = ? AND online = 1
		UNION ALL SELECT epoch, began_at, ended_at, began, ended, remote, transport, protocol FROM device_connection WHERE device = ?) AS all_of_it
		WHERE epoch <= ? ORDER BY epoch DESC LIMIT ?`, device, device, epoch, limit+2)
	var sessions [][]Connection
	if err == nil {
		sessions, err = collect(rows, scanConnections)
	}
	if err != nil {
		return nil, "", fmt.Errorf("registry: connection history: %w", err)
	}
	for _, c := range slices.Concat(sessions...) {
		if page.Cursor == "" || c.Epoch < epoch || c.Event < Event(event) {
			list = append(list, c)
		}
	}
	if len(list) > limit {
		list = list[:limit]
		next = cursor{list[limit-1].Epoch, strconv.Itoa(int(list[limit-1].Event))}.String()
	}
	return list, next, nil
}

// scanConnections makes the entries of one session, newest first.
func scanConnections(row scanner) ([]Connection, error) {
	var c Connection
	var began, ended int64
	var end string
	err := row.Scan(&c.Epoch, &began, &ended, &c.Reason, &end, &c.Remote, &c.Transport, &c.Protocol)
	c.At, c.Event = fromMillis(began), EventOnline
	list := []Connection{c}
	if end != "" {
		c.At, c.Event, c.Reason = fromMillis(ended), EventOffline, end
		list = []Connection{c, list[0]}
	}
	return list, err
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

// Trim deletes sessions that ended too long ago, and the oldest of devices that have too many. It is not for concurrent use.
func (h *History) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	for {
		n, err := h.delete(ctx, `SELECT device, epoch FROM device_connection WHERE ended_at < ? ORDER BY ended_at LIMIT ?`, millis(now.Add(-h.cfg.MaxAge)), trimStep)
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

// trimCounts looks at the devices that have new sessions since it looked last.
func (h *History) trimCounts(ctx context.Context) (removed int, err error) {
	most := int64(h.cfg.MaxCount / 2)
	after := int64(0)
	for {
		rows, err := h.db.Query(ctx, `SELECT device, COUNT(*) FROM device_connection WHERE device IN
			(SELECT DISTINCT device FROM device_connection WHERE ended_at >= ? AND device > ? ORDER BY device LIMIT ?) GROUP BY device ORDER BY device`,
			millis(h.looked), after, trimStep)
		if err != nil {
			return removed, err
		}
		list, err := collect(rows, func(row scanner) (pair [2]int64, err error) { err = row.Scan(&pair[0], &pair[1]); return pair, err })
		if err != nil {
			return removed, err
		}
		for _, p := range list {
			if after = p[0]; p[1] <= most {
				continue
			}
			n, err := h.delete(ctx, `SELECT device, epoch FROM device_connection WHERE device = ? ORDER BY epoch LIMIT ?`, p[0], p[1]-most)
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
		res, err := tx.Exec(ctx, `DELETE FROM device_connection WHERE (device, epoch) IN (`+which+`)`, args...)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return int(n), err
}
