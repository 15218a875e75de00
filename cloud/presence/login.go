package presence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
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
}

// over tells whether the session has ended by its expiry.
func (r *row) over(now time.Time) bool {
	return !r.online && r.endedAt != 0 && r.expiry != server.NoExpiry && r.endedAt+1000*r.expiry <= now.UnixMilli()
}

// takeEpoch is the guard of a login: it fails when anybody has touched epoch or online since row was read.
var (
	takeEpoch = store.NewStmt(`INSERT INTO session (device, epoch, node, client, persistent, subs, remote, keep_alive, connected_at, expiry, online)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
ON CONFLICT (device) DO UPDATE SET epoch = excluded.epoch, node = excluded.node, client = excluded.client, persistent = excluded.persistent,
subs = excluded.subs, remote = excluded.remote, keep_alive = excluded.keep_alive, connected_at = excluded.connected_at, expiry = excluded.expiry, ended_at = 0, online = 1
WHERE session.epoch = ? AND session.online = ?`)
	goOnline = store.NewStmt(`UPDATE device SET state = 1, online_at = ?, last_seen = ?,
activated_at = CASE WHEN activated_at = 0 THEN ? ELSE activated_at END WHERE id = ? AND state <> 3`)
	// insertHistory may find the row there: an end that the store took before its answer was lost is told again.
	insertHistory = store.NewStmt(`INSERT INTO device_history (device, epoch, event, at, reason, remote, transport, protocol)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
	dropQueue    = store.NewStmt(`DELETE FROM queue WHERE device = ?`)
	dropReceipts = store.NewStmt(`DELETE FROM receipt WHERE device = ?`)
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
	s := &Session{Device: l.Device, Options: l.Options, Restricted: l.Restricted, Proof: l.Proof, Gateway: gateway, KeepAlive: l.KeepAlive,
		persistent: l.Persistent && !l.Restricted, expiry: l.Expiry, remote: l.Remote, transport: l.Transport, protocol: l.Protocol}
	s.waiting = s.persistent
	s.SetProduct(l.Product, l.Perms)
	return s
}

// takeRow writes the session row, again when another login of the device was quicker.
func (p *Presence) takeRow(ctx context.Context, s *Session, l Login) (Kept, error) {
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
	err := p.Store.QueryRow(ctx, `SELECT epoch, online, node, persistent, subs, expiry, ended_at FROM session WHERE device = ?`, device).
		Scan(&r.epoch, &online, &r.node, &persistent, &r.subs, &r.expiry, &r.endedAt)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("read session: %w", err)
	}
	r.online, r.present = online != 0, persistent != 0
	return r, nil
}

func (p *Presence) tryRow(ctx context.Context, s *Session, l Login, old row) (Kept, error) {
	var kept Kept
	now := p.now()
	l.Fresh = l.Fresh || old.over(now)
	if s.persistent && !l.Fresh && s.Gateway == nil && old.present {
		var err error
		if kept, err = p.kept(ctx, s, old); err != nil {
			return Kept{}, err
		}
	}
	s.Epoch = old.epoch + 1
	unit := &store.Unit{Device: s.Device.ID, Ops: p.loginOps(s, l, old, kept, now)}
	var note *status
	if !old.online {
		note = p.status(s, true, now)
		unit.Out = note.out
	}
	if err := p.Store.Do(ctx, unit); err != nil {
		return Kept{}, fmt.Errorf("log %s in: %w", s.Device.Identity, err)
	}
	if d := p.Registry.Touch(s.Device.ID, func(d *registry.Device) { online(d, now) }); d != nil {
		s.Device = d // nobody knows s yet; the snapshot before is let go
	}
	if note != nil {
		p.tell(note)
	}
	if old.online && old.node != p.cfg.Node {
		p.cut(old.node, s)
	}
	return kept, nil
}

func (p *Presence) loginOps(s *Session, l Login, old row, kept Kept, now time.Time) []store.Op {
	ms, id := now.UnixMilli(), s.Device.ID
	client := downlink.Client{Buffer: s.Buffer()}
	if s.Gateway != nil {
		client.Via = s.Gateway.Device.ID
	}
	reason := registry.ReasonLogin
	if old.online {
		reason = registry.ReasonTakeOver
	}
	ops := append(make([]store.Op, 0, 4),
		store.Op{Stmt: takeEpoch, Want: 1, Args: []any{id, s.Epoch, p.cfg.Node, client.String(), flag(s.persistent),
			downlink.EncodeFilters(kept.Filters), l.Remote, int64(l.KeepAlive), ms, int64(l.Expiry), old.epoch, flag(old.online)}},
		store.Op{Stmt: goOnline, Want: -1, Args: []any{ms, ms, ms, id}},
		s.history(registry.EventOnline, now, reason))
	if old.present && (!s.persistent || l.Fresh) {
		ops = append(ops, store.Op{Stmt: dropQueue, Want: -1, Args: []any{id}}, store.Op{Stmt: dropReceipts, Want: -1, Args: []any{id}})
	}
	return ops
}

// history is the entry for the session's begin or end.
func (s *Session) history(event registry.Event, at time.Time, reason string) store.Op {
	return store.Op{Stmt: insertHistory, Want: -1, Args: []any{s.Device.ID, s.Epoch, int64(event), at.UnixMilli(), reason, s.remote, s.transport, s.protocol}}
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
func online(d *registry.Device, now time.Time) {
	if d.State != registry.Disabled {
		d.State = registry.Online
	}
	if d.Activated.IsZero() {
		d.Activated = now
	}
	d.OnlineAt, d.LastSeen = now, now
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
func (p *Presence) cut(node string, s *Session) {
	b, err := codec.Marshal(codec.CBOR, Cut{Product: s.Device.Identity.Product, SN: s.Device.Identity.SN, Epoch: s.Epoch})
	if err == nil {
		err = p.Bus.Publish(CutSubject(node), b)
	}
	if err != nil {
		p.Log.Warn("node not told of a take-over", "device", s.Device.Identity, "node", node, "err", err)
	}
}

// LoginSub brings a sub-device online over its gateway's connection. The caller has checked that it may. A sub-device
// that is logged in there already stays so.
func (p *Presence) LoginSub(ctx context.Context, gateway *Session, l Login) (*Session, error) {
	if sub, ok := gateway.Sub(l.Device.Identity); ok {
		return sub, nil
	}
	l.Persistent, l.KeepAlive, l.Expiry = gateway.persistent, gateway.KeepAlive, gateway.expiry
	l.Remote, l.Transport, l.Protocol = gateway.remote, registry.TransportGateway, gateway.protocol
	s := newSession(l, gateway)
	if _, err := p.takeRow(ctx, s, l); err != nil {
		return nil, err
	}
	if before, ok := p.local.get(l.Device.Identity); ok && before.Gateway != nil {
		before.Gateway.dropSub(before) // it came over another gateway of this node
	}
	if !gateway.addSub(s) {
		p.Disconnect(s, server.CauseEOF)
		return nil, server.ErrOffline
	}
	p.local.put(s)
	return s, nil
}

// LogoutSub takes a sub-device off its gateway's connection; one that is not there is off already.
func (p *Presence) LogoutSub(gateway *Session, sub *Session) {
	gateway.dropSub(sub)
	p.Disconnect(sub, server.CauseDisconnect)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
