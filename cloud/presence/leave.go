package presence

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

var (
	leaveRow = store.NewStmt(`UPDATE session SET online = 0, ended_at = ? WHERE device = ? AND epoch = ? AND online = 1`)
	// goOffline leaves last_seen where it is, as goOnline does.
	goOffline     = store.NewStmt(`UPDATE device SET state = 2, offline_at = ? WHERE id = ? AND state = 1`)
	goOfflineSeen = store.NewStmt(`UPDATE device SET last_seen = ?, state = 2, offline_at = ? WHERE id = ? AND state = 1`)
)

// Disconnect takes a session and its sub-devices off this node. It does not wait for the store: an Offline that the store cannot
// take now is repeated by Run.
func (p *Presence) Disconnect(s *Session, why server.Cause) {
	p.local.remove(s)
	subs := s.end()
	if s.Restricted || why == server.CauseShutdown {
		for _, sub := range subs {
			p.local.remove(sub)
		}
		return
	}
	if why == server.CauseTakenOver { // the gateway is there, and logs them in again over its new connection
		p.hold(s, subs)
		return
	}
	for _, sub := range append(subs, p.held.release(s.Device.ID)...) {
		p.leave(sub, registry.ReasonGateway)
	}
	p.leave(s, why.String())
}

// leave takes one session off this node; it has no sub-devices, or none any longer.
func (p *Presence) leave(s *Session, reason string) {
	p.local.remove(s)
	s.end()
	p.offline(&gone{device: s.Device.Identity, id: s.Device.ID, epoch: s.Epoch, session: s, reason: reason})
}

// gone is a session that has ended.
type gone struct {
	device  ident.Device
	id      int64
	epoch   int64
	session *Session // nil for one of a dead process
	reason  string
	past    past // of one of a dead process
	seen    bool // last_seen moves
	at      time.Time
	due     time.Time // for one of a dead process
}

// offline writes the end of a session, if it is still the device's newest.
func (p *Presence) offline(g *gone) {
	if g.at.IsZero() {
		g.at = p.now()
	}
	s := g.session
	if s == nil {
		var err error
		if s, err = p.revive(g); err != nil {
			p.Log.Error("session of a dead process not settled", "device", g.device, "err", err)
			return
		}
	}
	ms := g.at.UnixMilli()
	note := p.status(s, false, g.at)
	note.why = g.reason
	g.seen = s.seenLongAgo(g.at)
	offline := store.Op{Stmt: goOffline, Want: -1, Args: []any{ms, g.id}}
	if g.seen {
		offline = store.Op{Stmt: goOfflineSeen, Want: -1, Args: []any{ms, ms, g.id}}
	}
	past := s.past()
	ops := append([]store.Op{
		{Stmt: leaveRow, Want: 1, Args: []any{ms, g.id, g.epoch}},
		offline,
		past.entry(g.id, g.epoch, g.at, g.reason),
	}, note.msg.Staged()...)
	p.Store.Submit(&store.Unit{Device: g.id, Out: note.out, Ops: ops, Done: func(err error) { p.left(g, note, err) }})
}

// left goes on when the store has answered; it runs on the committer's goroutine.
func (p *Presence) left(g *gone, note *status, err error) {
	note.msg.Ended(err)
	switch {
	case err == nil:
		p.Registry.Touch(g.id, func(d *registry.Device) {
			if d.State == registry.Online {
				d.State, d.OfflineAt = registry.Offline, registry.MomentOf(g.at)
				if g.seen {
					d.LastSeen = d.OfflineAt
				}
			}
			if g.session != nil && !g.session.persistent {
				d.Over = g.epoch
			}
		})
		p.tell(note)
	case errors.Is(err, store.ErrConflict):
		// A newer session has the row: the device is not offline.
	case errors.Is(err, store.ErrClosed):
		// The hub ends; the next start finds the row.
	default:
		p.Log.Warn("offline not stored, to be repeated", "device", g.device, "err", err)
		p.late.add(g)
	}
}

// revive makes what status needs of a session whose process is dead.
func (p *Presence) revive(g *gone) (*Session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	dev, err := p.Registry.DeviceByID(ctx, g.id)
	if err != nil {
		return nil, err
	}
	product, err := p.Registry.Product(ctx, dev.Identity.Product)
	if err != nil {
		return nil, err
	}
	s := newSession(Login{Device: dev, Product: product}, nil)
	s.Epoch = g.epoch
	s.setPast(g.past)
	return s, nil
}

// lateMax bounds what waits for the store; more is left to the next start, which finds the rows online.
const lateMax = 100_000

// late holds ends of sessions that the store could not take.
type late struct {
	wake chan struct{}
	mu   sync.Mutex // guards list
	list []*gone
}

func (l *late) add(g *gone) {
	l.mu.Lock()
	if len(l.list) < lateMax {
		l.list = append(l.list, g)
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *late) take() []*gone {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

// leftOnline lists the sessions that a dead process of this node's name left online, by the time at which they count as gone.
func (p *Presence) leftOnline(ctx context.Context) ([]*gone, error) {
	rows, err := p.Store.Query(ctx, `SELECT s.device, s.epoch, s.keep_alive, s.connected_at, s.began, s.remote, s.transport, s.protocol, d.product, d.sn
FROM session s JOIN device d ON d.id = s.device WHERE s.online = 1 AND s.node = ? ORDER BY s.keep_alive, s.device`, p.cfg.Node)
	if err != nil {
		return nil, fmt.Errorf("find sessions of a dead process: %w", err)
	}
	defer func() { _ = rows.Close() }()
	now := p.now()
	var list []*gone
	for rows.Next() {
		g := &gone{reason: registry.ReasonLost}
		var keepAlive int64
		if err := rows.Scan(&g.id, &g.epoch, &keepAlive, &g.past.at, &g.past.began, &g.past.remote, &g.past.transport, &g.past.protocol,
			&g.device.Product, &g.device.SN); err != nil {
			return nil, fmt.Errorf("find sessions of a dead process: %w", err)
		}
		g.due = now.Add(time.Duration(keepAlive) * time.Second * 3 / 2)
		list = append(list, g)
	}
	return list, rows.Err()
}

// lateEvery is the pause before the store is asked again.
const lateEvery = time.Second

// settle ends the sessions of a dead process when they are due, and repeats what the store could not take.
func (p *Presence) settle(ctx context.Context, left []*gone) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.late.wake:
		case <-p.held.wake:
		case <-timer.C:
		}
		now := p.now()
		next := p.expireHeld(now)
		for len(left) > 0 && !left[0].due.After(now) {
			p.expire(left[0])
			left = left[1:]
		}
		wait := time.Hour
		if len(left) > 0 {
			wait = left[0].due.Sub(now)
		}
		if !next.IsZero() {
			wait = min(wait, next.Sub(now))
		}
		if p.repeat(ctx) {
			wait = min(wait, lateEvery)
		}
		timer.Reset(wait)
	}
}

// expire ends one session of a dead process. A device that is back on this node needs no look at its row; one that is back
// on another is saved by the guard.
func (p *Presence) expire(g *gone) {
	if _, ok := p.local.get(g.device); ok {
		return
	}
	p.metrics.orphans.Inc()
	p.offline(g)
}

// repeat hands the store what it could not take; it pauses first, so that a store that is down is not asked in a circle.
func (p *Presence) repeat(ctx context.Context) bool {
	list := p.late.take()
	if len(list) == 0 {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(lateEvery):
	}
	for _, g := range list {
		p.offline(g)
	}
	return true
}
