package presence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// LoginSubs brings sub-devices online over their gateway's connection, in as few commits as the store makes of them. The caller has
// checked that they may. One that is logged in there already stays so, as do those that were when an error is returned: asking
// again goes on where it ended. The sessions are in the order of list.
func (p *Presence) LoginSubs(ctx context.Context, gateway *Session, list []Login) ([]*Session, error) {
	out := make([]*Session, len(list))
	var fresh []int // places in list
	past := gateway.past()
	for i := range list {
		l := &list[i]
		if sub, ok := gateway.Sub(l.Device.Identity); ok {
			out[i] = sub
			continue
		}
		l.Persistent, l.KeepAlive, l.Expiry = gateway.persistent, gateway.KeepAlive, gateway.expiry
		l.Remote, l.Transport, l.Protocol = past.remote, registry.TransportGateway, past.protocol
		out[i] = newSession(*l, gateway)
		fresh = append(fresh, i)
	}
	if len(fresh) == 0 {
		return out, nil
	}
	var errs []error
	for i, err := range p.takeRows(ctx, out, list, fresh) {
		if err == nil {
			err = p.enter(gateway, out[fresh[i]])
		}
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

// takeRows writes the rows of those sessions, all at once, and says how each fared.
func (p *Presence) takeRows(ctx context.Context, sessions []*Session, list []Login, which []int) []error {
	errs := make([]error, len(which))
	rows, err := p.readRows(ctx, sessions, which)
	if err != nil {
		return append(errs[:0], slices.Repeat([]error{err}, len(which))...)
	}
	type end struct {
		n   int
		err error
	}
	ended := make(chan end, len(which)) // Done must not block
	attempts := make([]*attempt, len(which))
	waiting := 0
	for n, i := range which {
		s := sessions[i]
		if attempts[n], errs[n] = p.attempt(ctx, s, list[i], rows[s.Device.ID]); errs[n] != nil {
			continue
		}
		attempts[n].unit.Done = func(err error) {
			attempts[n].ended(err)
			ended <- end{n, err}
		}
		p.Store.Submit(attempts[n].unit)
		waiting++
	}
	for range waiting { // the store ends every unit: what is committed must be known here
		e := <-ended
		errs[e.n] = e.err
	}
	for n, i := range which {
		switch {
		case attempts[n] == nil:
		case errs[n] == nil:
			p.came(attempts[n])
		case errors.Is(errs[n], store.ErrConflict): // another login was quicker
			p.metrics.races.Inc()
			_, errs[n] = p.takeRow(ctx, sessions[i], list[i])
		default:
			errs[n] = fmt.Errorf("log %s in: %w", sessions[i].Device.Identity, errs[n])
		}
	}
	return errs
}

// enter makes a session that has its row reachable over its gateway's connection.
func (p *Presence) enter(gateway, s *Session) error {
	dev := s.Device.Identity
	if before, ok := p.local.get(dev); ok && before.Gateway != nil {
		before.Gateway.dropSub(before) // it came over another gateway of this node
	}
	p.held.forget(gateway.Device.ID, dev)
	if !gateway.addSub(s) {
		p.Disconnect(s, server.CauseEOF)
		return server.ErrOffline
	}
	p.local.put(s)
	return nil
}

// rowsAtOnce is how many session rows one query reads.
const rowsAtOnce = 100

// readRows reads the session rows of those devices; one without a row has the zero row.
func (p *Presence) readRows(ctx context.Context, sessions []*Session, which []int) (map[int64]row, error) {
	all := make(map[int64]row, len(which))
	for part := range slices.Chunk(which, rowsAtOnce) {
		args := make([]any, rowsAtOnce) // always as many, so that the engines know the statement
		for n := range args {
			args[n] = sessions[part[min(n, len(part)-1)]].Device.ID
		}
		if err := p.readSome(ctx, all, args); err != nil {
			return nil, fmt.Errorf("read sessions: %w", err)
		}
	}
	return all, nil
}

func (p *Presence) readSome(ctx context.Context, all map[int64]row, args []any) (err error) {
	rows, err := p.Store.Query(ctx, `SELECT device, epoch, online, node, persistent, expiry, ended_at, connected_at, began, remote, transport, protocol
		FROM session WHERE device IN (?`+
		strings.Repeat(", ?", len(args)-1)+`)`, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var r row
		var device, online, persistent int64
		if err := rows.Scan(&device, &r.epoch, &online, &r.node, &persistent, &r.expiry, &r.endedAt,
			&r.past.at, &r.past.began, &r.past.remote, &r.past.transport, &r.past.protocol); err != nil {
			return err
		}
		r.online, r.present = online != 0, persistent != 0
		all[device] = r
	}
	return nil
}

// LogoutSub takes a sub-device off its gateway's connection; one that is not there is off already.
func (p *Presence) LogoutSub(gateway *Session, sub *Session) {
	gateway.dropSub(sub)
	p.Disconnect(sub, server.CauseDisconnect)
}

// Logout takes the sub-device off the gateway, over its connection or from those that are waited for.
func (p *Presence) Logout(gateway *Session, dev ident.Device) {
	if sub, ok := gateway.Sub(dev); ok {
		p.LogoutSub(gateway, sub)
		return
	}
	if sub := p.held.forget(gateway.Device.ID, dev); sub != nil {
		p.leave(sub, server.CauseDisconnect.String())
	}
}

// Expel ends a sub-device's session over a gateway that has lost it, on whichever node that is. Its end on another node comes a
// moment later.
func (p *Presence) Expel(ctx context.Context, dev *registry.Device, gateway int64) error {
	if s, ok := p.local.get(dev.Identity); ok && s.Gateway != nil {
		if s.Gateway.Device.ID == gateway {
			p.LogoutSub(s.Gateway, s)
		}
		return nil
	}
	if sub := p.held.forget(gateway, dev.Identity); sub != nil {
		p.leave(sub, server.CauseKicked.String())
		return nil
	}
	var epoch, online int64
	var node, client string
	err := p.Store.QueryRow(ctx, `SELECT epoch, online, node, client FROM session WHERE device = ?`, dev.ID).Scan(&epoch, &online, &node, &client)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("read session: %w", err)
	}
	if online != 0 && node != p.cfg.Node && downlink.ParseClient(client).Via == gateway {
		p.cut(node, dev.Identity, epoch+1)
	}
	return nil
}
