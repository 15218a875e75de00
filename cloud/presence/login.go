package presence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Login is what a session is made of.
type Login struct {
	Device     *registry.Device
	Product    *registry.Product
	Perms      *topic.Permissions
	Options    credential.Options
	Restricted bool
	Proof      Proof // zero unless it was by certificate
	Persistent bool
	Expiry     uint32 // seconds that a persistent session outlives its connection; server.NoExpiry = for ever
	Fresh      bool   // nothing of an earlier session is kept
	Remote     string
	Transport  string // tcp, tls, ws, wss
	Protocol   string // MQTT 3.1.1
	KeepAlive  uint16
}

// Kept is what the store had of a persistent session.
type Kept struct {
	Present  bool
	Filters  []downlink.Filter
	Received []uint16 // QoS 2 publishes that were taken and not released
}

// epochTries bounds the logins of one device that get in each other's way at the same moment.
const epochTries = 10

// ErrBusy is returned when the device logs in so often at the same moment that no login gets through.
var ErrBusy = errors.New("presence: too many logins of the device at once")

// row is the part of the session row that a login compares and keeps.
type row struct {
	epoch   int64
	online  bool
	node    string
	present bool
	subs    []byte
	expiry  int64 // seconds
	endedAt int64 // milliseconds, 0: never
	past    past  // of a session that is open
}

// past is what the history says of a session.
type past struct {
	at     int64 // of its begin, milliseconds
	remote string
	manner
}

// manner is how a session came about.
type manner struct{ began, transport, protocol string }

// entry writes a session into the history at its end. The row may be there: an end that the store took before its answer was lost is
// told again.
func (p *past) entry(device, epoch int64, at time.Time, reason string) store.Op {
	return store.Op{Stmt: insertHistory, Want: -1, Args: []any{device, epoch, p.at, at.UnixMilli(), p.began, reason, p.remote, p.transport, p.protocol}}
}

// over tells whether the session has ended by its expiry.
func (r *row) over(now time.Time) bool {
	return !r.online && r.endedAt != 0 && r.expiry != server.NoExpiry && r.endedAt+1000*r.expiry <= now.UnixMilli()
}

const activate = `activated_at = CASE WHEN activated_at = 0 THEN ? ELSE activated_at END WHERE id = ? AND state <> 3`

// takeEpoch is the guard of a login: it fails when anybody has touched epoch or online since row was read.
var (
	takeEpoch = store.NewStmt(`INSERT INTO session (device, epoch, node, client, persistent, subs, remote, keep_alive, connected_at, expiry,
began, transport, protocol, online) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
ON CONFLICT (device) DO UPDATE SET epoch = excluded.epoch, node = excluded.node, client = excluded.client, persistent = excluded.persistent,
subs = excluded.subs, remote = excluded.remote, keep_alive = excluded.keep_alive, connected_at = excluded.connected_at, expiry = excluded.expiry,
began = excluded.began, transport = excluded.transport, protocol = excluded.protocol, ended_at = 0, online = 1
WHERE session.epoch = ? AND session.online = ?`)
	// goOnline leaves last_seen, and what the store keeps in its order, where it is; goOnlineSeen moves it.
	goOnline      = store.NewStmt(`UPDATE device SET state = 1, online_at = ?, ` + activate)
	goOnlineSeen  = store.NewStmt(`UPDATE device SET last_seen = ?, state = 1, online_at = ?, ` + activate)
	insertHistory = store.NewStmt(`INSERT INTO device_connection (device, epoch, began_at, ended_at, began, ended, remote, transport, protocol)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
	dropQueue    = store.NewStmt(`DELETE FROM queue WHERE device = ?`)
	dropReceipts = store.NewStmt(`DELETE FROM receipt WHERE device = ?`)
	dropOrigins  = store.NewStmt(`DELETE FROM origin WHERE device = ?`)
	dropReceipt  = store.NewStmt(`DELETE FROM receipt WHERE device = ? AND packet = ?`)
	saveSubs     = store.NewStmt(`UPDATE session SET subs = ? WHERE device = ? AND epoch = ?`)
)

// Connect takes the next epoch for a device and brings it online. The session can be found after Attach. A restricted
// session has no row and changes no state.
func (p *Presence) Connect(ctx context.Context, l Login) (*Session, Kept, error) {
	s := newSession(l, nil)
	if l.Restricted {
		return s, Kept{}, nil
	}
	kept, err := p.takeRow(ctx, s, l)
	return s, kept, err
}

func newSession(l Login, gateway *Session) *Session {
	s := &Session{Device: l.Device, Gateway: gateway, Restricted: l.Restricted, KeepAlive: l.KeepAlive,
		cbor: l.Options.CBOR, suit: l.Options.SUIT, buffer: int32(min(l.Options.Buffer, math.MaxInt32)),
		persistent: l.Persistent && !l.Restricted, expiry: l.Expiry}
	if proof := l.Proof; proof != (Proof{}) {
		s.proof = &proof
	}
	s.setPast(past{remote: l.Remote, manner: manner{transport: l.Transport, protocol: l.Protocol}})
	s.waiting = s.persistent
	s.SetProduct(l.Product, l.Perms)
	return s
}

// takeRow writes the session row, again when another login of the device was quicker.
func (p *Presence) takeRow(ctx context.Context, s *Session, l Login) (Kept, error) {
	// What this process remembers saves the reading; when it is wrong, the guard misses, and no harm is done.
	if s.Device.Over != 0 || s.Device.Activated.IsZero() {
		kept, err := p.tryRow(ctx, s, l, row{epoch: s.Device.Over})
		if !errors.Is(err, store.ErrConflict) {
			return kept, err
		}
	}
	for range epochTries {
		old, err := p.readRow(ctx, s.Device.ID)
		if err != nil {
			return Kept{}, err
		}
		kept, err := p.tryRow(ctx, s, l, old)
		if !errors.Is(err, store.ErrConflict) {
			return kept, err
		}
		p.metrics.races.Inc()
	}
	return Kept{}, ErrBusy
}

func (p *Presence) readRow(ctx context.Context, device int64) (row, error) {
	var r row
	var online, persistent int64
	err := p.Store.QueryRow(ctx, `SELECT epoch, online, node, persistent, subs, expiry, ended_at, connected_at, began, remote, transport, protocol
		FROM session WHERE device = ?`, device).Scan(&r.epoch, &online, &r.node, &persistent, &r.subs, &r.expiry, &r.endedAt,
		&r.past.at, &r.past.began, &r.past.remote, &r.past.transport, &r.past.protocol)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("read session: %w", err)
	}
	r.online, r.present = online != 0, persistent != 0
	return r, nil
}

func (p *Presence) tryRow(ctx context.Context, s *Session, l Login, old row) (Kept, error) {
	t, err := p.attempt(ctx, s, l, old)
	if err != nil {
		return Kept{}, err
	}
	err = p.Store.Do(ctx, t.unit)
	t.ended(err)
	if err != nil {
		return Kept{}, fmt.Errorf("log %s in: %w", s.Device.Identity, err)
	}
	p.came(t)
	return t.kept, nil
}

// attempt is one login on its way to the store.
type attempt struct {
	session *Session
	old     row
	kept    Kept
	unit    *store.Unit
	note    *status // nil: it was online
	at      time.Time
}

// ended tells who has part in the unit how it ended.
func (t *attempt) ended(err error) {
	if t.note != nil {
		t.note.msg.Ended(err)
	}
}

// attempt makes the unit of a login that finds the row as old.
func (p *Presence) attempt(ctx context.Context, s *Session, l Login, old row) (*attempt, error) {
	t := &attempt{session: s, old: old, at: p.now()}
	l.Fresh = l.Fresh || old.over(t.at)
	if s.persistent && !l.Fresh && s.Gateway == nil && old.present {
		var err error
		if t.kept, err = p.kept(ctx, s, old); err != nil {
			return nil, err
		}
	}
	began := registry.ReasonLogin
	if old.online {
		began = registry.ReasonTakeOver
	}
	s.Epoch = old.epoch + 1
	s.setPast(past{t.at.UnixMilli(), l.Remote, manner{began, l.Transport, l.Protocol}})
	t.unit = &store.Unit{Device: s.Device.ID, Ops: p.loginOps(s, l, old, t.kept, t.at)}
	if !old.online {
		t.note = p.status(s, true, t.at)
		t.unit.Out, t.unit.Ops = t.note.out, append(t.unit.Ops, t.note.msg.Staged()...)
	}
	return t, nil
}

// came goes on when a login is committed.
func (p *Presence) came(t *attempt) {
	s := t.session
	seen := s.seenLongAgo(t.at)
	if d := p.Registry.Touch(s.Device.ID, func(d *registry.Device) { online(d, t.at, seen) }); d != nil {
		s.Device = d // nobody knows s yet; the snapshot before is let go
	}
	if t.note != nil {
		p.tell(t.note)
	}
	if t.old.online && t.old.node != p.cfg.Node {
		p.cut(t.old.node, s.Device.Identity, s.Epoch)
	}
}

func (p *Presence) loginOps(s *Session, l Login, old row, kept Kept, now time.Time) []store.Op {
	ms, id := now.UnixMilli(), s.Device.ID
	client := downlink.Client{Buffer: s.Buffer(), Verifies: s.Verifies()}
	if s.Gateway != nil {
		client.Via = s.Gateway.Device.ID
	}
	online := store.Op{Stmt: goOnline, Want: -1, Args: []any{ms, ms, id}}
	if s.seenLongAgo(now) {
		online = store.Op{Stmt: goOnlineSeen, Want: -1, Args: []any{ms, ms, ms, id}}
	}
	ops := append(make([]store.Op, 0, 4),
		store.Op{Stmt: takeEpoch, Want: 1, Args: []any{id, s.Epoch, p.cfg.Node, client.String(), flag(s.persistent),
			downlink.EncodeFilters(kept.Filters), l.Remote, int64(l.KeepAlive), ms, int64(l.Expiry),
			s.past().began, l.Transport, l.Protocol, old.epoch, flag(old.online)}},
		online)
	if old.online {
		ops = append(ops, old.past.entry(id, old.epoch, now, "")) // no Offline
	}
	if old.present && (!s.persistent || l.Fresh) {
		ops = append(ops, store.Op{Stmt: dropQueue, Want: -1, Args: []any{id}}, store.Op{Stmt: dropReceipts, Want: -1, Args: []any{id}},
			store.Op{Stmt: dropOrigins, Want: -1, Args: []any{id}})
	}
	return ops
}

// seenLongAgo tells that the stored last_seen of the device has to move.
func (s *Session) seenLongAgo(now time.Time) bool {
	return now.Sub(s.Device.LastSeen.Time()) >= registry.SeenEvery
}

// kept reads what the store has of a persistent session.
func (p *Presence) kept(ctx context.Context, s *Session, old row) (Kept, error) {
	filters, err := downlink.DecodeFilters(old.subs)
	if err != nil {
		p.Log.Error("stored subscriptions dropped", "device", s.Device.Identity, "err", err)
		return Kept{}, nil
	}
	k := Kept{Present: true, Filters: filters}
	rows, err := p.Store.Query(ctx, `SELECT packet FROM receipt WHERE device = ?`, s.Device.ID)
	if err != nil {
		return k, fmt.Errorf("read receipts: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return k, fmt.Errorf("read receipts: %w", err)
		}
		k.Received = append(k.Received, uint16(id))
	}
	return k, rows.Err()
}

// Seen looks for the message that a publish of a persistent session repeats, see uplink.Notes. It is called by the goroutine of the session's connection, as is
// Sent.
func (p *Presence) Seen(ctx context.Context, s *Session, o uplink.Origin) (id message.ID, ok bool, err error) {
	stale := s.notes == nil
	if !stale {
		id, ok, stale = s.notes.Seen(&o)
	}
	if stale {
		if s.notes, err = uplink.ReadNotes(ctx, p.Store, o.Device, s.Epoch); err != nil {
			return 0, false, err
		}
		id, ok, _ = s.notes.Seen(&o)
	}
	return id, ok, nil
}

// Sent notes a publish that is no repeat of what is stored. It costs nothing until a repeat came on the connection.
func (s *Session) Sent(o *uplink.Origin) {
	if s.notes != nil && o.Packet != 0 {
		s.notes.Sent(o)
	}
}

// Released forgets a QoS 2 publish that the device will not repeat, and calls done when that is safe.
func (p *Presence) Released(s *Session, packet uint16, done func(error)) {
	if !s.persistent {
		done(nil)
		return
	}
	p.Store.Submit(&store.Unit{Device: s.Device.ID, Done: done, Ops: []store.Op{
		{Stmt: dropReceipt, Want: -1, Args: []any{s.Device.ID, int64(packet)}}}})
}

// online changes the cached snapshot as goOnline changes the row.
func online(d *registry.Device, at time.Time, seen bool) {
	now := registry.MomentOf(at)
	if d.State != registry.Disabled {
		d.State = registry.Online
	}
	if d.Activated.IsZero() {
		d.Activated = now
	}
	if seen {
		d.LastSeen = now
	}
	d.OnlineAt, d.Over = now, 0
}

// SaveFilters makes the subscriptions of a persistent session durable; for others there is nothing to do.
func (p *Presence) SaveFilters(ctx context.Context, s *Session, filters []downlink.Filter) error {
	if !s.persistent {
		return nil
	}
	err := p.Store.Do(ctx, &store.Unit{Device: s.Device.ID, Ops: []store.Op{
		{Stmt: saveSubs, Want: 1, Args: []any{downlink.EncodeFilters(filters), s.Device.ID, s.Epoch}}}})
	if err != nil {
		return fmt.Errorf("store subscriptions of %s: %w", s.Device.Identity, err)
	}
	return nil
}

// Cut is what a node tells another whose session has been taken over: hawser.node.<name>.cut.
type Cut struct {
	Product string `json:"p"`
	SN      string `json:"d"`
	Epoch   int64  `json:"e"` // the new session's
}

// CutSubject is where a node hears of sessions that it has lost.
func CutSubject(node string) string { return "hawser.node." + node + ".cut" }

// cut tells the other node. If the note is lost, that node finds out by the fence at the device's next message.
func (p *Presence) cut(node string, dev ident.Device, epoch int64) {
	b, err := codec.Marshal(codec.CBOR, Cut{Product: dev.Product, SN: dev.SN, Epoch: epoch})
	if err == nil {
		err = p.Bus.Publish(CutSubject(node), b)
	}
	if err != nil {
		p.Log.Warn("node not told of a take-over", "device", dev, "node", node, "err", err)
	}
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
