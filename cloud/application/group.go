package application

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// groupKey names a group on all nodes: the reach of its members' keys, and the filter as subscribed, "$share/group/filter".
type groupKey struct{ project, products, share string }

func keyOf(app *auth.App, share string) groupKey {
	return groupKey{app.Project, join(app.Products), share}
}

// group is a shared subscription. Its rows have its id, which follows from its key, and the member that each was given to.
type group struct {
	key    groupKey
	id     int64
	app    auth.App // what a member may hear
	filter string
	next   atomic.Uint32            // round robin
	online atomic.Pointer[[]member] // members with a connection, by identity
}

// member is one of a group that is connected: here, or on another node.
type member struct {
	identity string
	session  *Session
	node     string
}

// GroupID is the id of the rows of a shared subscription, by what its members may hear and its whole filter. It is below 0, where no device's
// is.
func GroupID(project string, products map[string]auth.Rights, share string) int64 {
	return groupKey{project, join(products), share}.id()
}

func (k groupKey) id() int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(k.project + "\x00" + k.products + "\x00" + k.share)) // never fails
	return -int64(h.Sum64()>>2) - 1
}

func newGroup(key groupKey) *group {
	_, filter, _, _ := packet.Share(key.share)
	return &group{key: key, id: key.id(), filter: filter, app: auth.App{Project: key.project, Products: split(key.products), Rights: auth.Rights{Read: true}}}
}

// nobody is in the place of a member.
var nobody = &member{}

// pick returns the member whose turn it is: nobody when none is connected, or those that are here have no room.
func (g *group) pick() *member {
	all := *g.online.Load()
	first := int(g.next.Add(1) - 1)
	for i := range all {
		m := &all[(first+i)%len(all)]
		if m.session == nil || m.session.hasRoom() {
			return m
		}
	}
	return nobody
}

// hasRoom tells whether the session may be handed another row; one that has none looks for rows when it has.
func (s *Session) hasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.link != nil && !s.handing.fullLocked()
}

// deliverGroup gives a committed message to the member that was picked.
func (a *Applications) deliverGroup(s *subscription, w *wireMessage) {
	if s.member.node != "" {
		to := *w
		to.Share, to.Member = s.group.key.share, s.member.identity
		if to.Group = s.group.id; !s.durable(w.QoS) {
			to.Seq = 0
		}
		a.metrics.forwarded.Inc()
		a.tell(s.member.node, note{Message: &to})
		return
	}
	m := w.message()
	m.Share = s.group.key.share
	switch {
	case !s.durable(w.QoS) && s.member.session == nil:
		a.metrics.dropped.Inc()
	case !s.durable(w.QoS):
		a.pass(s.member.session, m)
	case s.member.session == nil: // who has room next reads it
		a.catchUpGroup(s.group.id)
	case !s.member.session.hand(ref{s.group.id, w.Seq}, m):
		a.release(s.group.id, s.member.identity, w.Seq)
	}
}

// foreignGroup gives a message that another node picked one of this one's members for to that member.
func (a *Applications) foreignGroup(w *wireMessage) {
	a.mu.Lock()
	s := a.local[w.Member]
	a.mu.Unlock()
	m := w.message()
	m.Share = w.Share
	switch {
	case w.Seq == 0 && s != nil:
		a.pass(s, m)
	case w.Seq != 0 && (s == nil || !s.hand(ref{w.Group, w.Seq}, m)):
		a.release(w.Group, w.Member, w.Seq)
	}
}

var (
	releaseRow = store.NewStmt(`UPDATE queue SET member = '' WHERE device = ? AND seq = ? AND member = ?`)
	releaseAll = store.NewStmt(`UPDATE queue SET member = '' WHERE device = ? AND seq <= ? AND member = ?`)
)

// release takes a row back from a member that did not take it, for another.
func (a *Applications) release(id int64, identity string, seq int64) {
	a.giveBack(id, releaseRow.Op(id, seq, identity))
}

// leave takes all rows back from a member that is gone.
func (a *Applications) leave(id int64, identity string) {
	a.giveBack(id, releaseAll.Op(id, int64(math.MaxInt64), identity))
}

func (a *Applications) giveBack(id int64, op store.Op) {
	a.Store.Submit(&store.Unit{Device: id, Ops: []store.Op{op}, Done: func(err error) {
		if err != nil {
			return // who looks after groups sees it
		}
		a.catchUpGroup(id)
		a.tell("", note{Free: id})
	}})
}

// catchUpGroup has this node's members of a group look for rows that are nobody's.
func (a *Applications) catchUpGroup(id int64) {
	a.mu.Lock()
	var here []*Session
	for _, g := range a.groups {
		if g.id == id {
			for _, m := range *g.online.Load() {
				if m.session != nil {
					here = append(here, m.session)
				}
			}
		}
	}
	a.mu.Unlock()
	for _, s := range here {
		a.catchUp(s, false)
	}
}

// groupsOf are the groups that a session is a member of.
func (a *Applications) groupsOf(s *Session) (list []*group) {
	filters := s.Filters()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range filters {
		if g := a.groups[keyOf(&s.App, f.Filter)]; g != nil {
			list = append(list, g)
		}
	}
	return list
}

// claim reads rows of a group that are the session's, or nobody's: those it makes its own, as far as there is room. all says that there are no
// more.
func (a *Applications) claim(ctx context.Context, s *Session, g *group, q query) (mine []waiting, all bool, err error) {
	limit := q.room + q.known
	list, err := a.rows(ctx, ref{g.id, math.MinInt64}, s.Identity, limit)
	if err != nil || len(list) == 0 {
		return nil, true, err
	}
	all = len(list) < limit
	err = a.Store.Update(ctx, func(tx *store.Tx) error {
		mine = mine[:0]
		taken := 0
		for _, w := range list {
			if w.member == "" && taken == q.room {
				all = false
				break
			}
			if w.member == "" {
				taken++
				res, err := tx.Exec(ctx, `UPDATE queue SET member = ? WHERE device = ? AND seq = ? AND member = ''`, s.Identity, w.device, w.seq)
				if err != nil {
					return err
				}
				if n, err := res.RowsAffected(); err != nil || n == 0 {
					continue // another was faster
				}
			}
			w.m.Share = g.key.share
			mine = append(mine, w)
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("take rows of a shared subscription: %w", err)
	}
	return mine, all, nil
}

// regroupLocked makes the groups follow from who is subscribed: sessions here, persistent ones anywhere, and those that other nodes announce.
func (a *Applications) regroupLocked() {
	online, qos := map[groupKey][]member{}, map[groupKey]byte{}
	join := func(key groupKey, q byte, m member) {
		online[key] = append(online[key], m)
		qos[key] = max(qos[key], q)
	}
	for _, s := range a.local {
		for _, f := range s.shared() {
			join(keyOf(&s.App, f.Filter), f.QoS, member{identity: s.Identity, session: s})
		}
	}
	for node, p := range a.nodes {
		for _, m := range p.members {
			if a.local[m.Identity] == nil { // else it has moved here
				join(groupKey{m.Project, m.Products, m.Share}, m.QoS, member{identity: m.Identity, node: node})
			}
		}
	}
	for _, s := range a.stored {
		for _, f := range s.shared() {
			qos[keyOf(&s.App, f.Filter)] = max(qos[keyOf(&s.App, f.Filter)], f.QoS)
		}
	}
	for key, g := range a.groups {
		if _, ok := qos[key]; !ok {
			a.shrinkLocked(g.filter, func(s subscription) bool { return s.group == g })
			delete(a.groups, key)
		}
	}
	for key, q := range qos {
		g := a.groups[key]
		if g == nil {
			g = newGroup(key)
			a.groups[key] = g
		}
		list := online[key]
		slices.SortFunc(list, func(a, b member) int { return strings.Compare(a.identity+" "+a.node, b.identity+" "+b.node) })
		g.online.Store(&list)
		a.placeLocked(g, q)
	}
}

// placeLocked has the group in the tree with that quality of service.
func (a *Applications) placeLocked(g *group, qos byte) {
	list, _ := a.tree.Get(g.filter)
	at := slices.IndexFunc(list, func(s subscription) bool { return s.group == g })
	if at >= 0 && list[at].qos == qos {
		return
	}
	if at >= 0 {
		a.shrinkLocked(g.filter, func(s subscription) bool { return s.group == g })
	}
	a.growLocked(g.filter, subscription{group: g, qos: qos})
}

// sharePrefix is what shared subscriptions begin with.
const sharePrefix = "$share/"

// shared are the session's shared subscriptions.
func (s *Session) shared() (list []downlink.Filter) {
	for _, f := range s.Filters() {
		if strings.HasPrefix(f.Filter, sharePrefix) {
			list = append(list, f)
		}
	}
	return list
}

// settled is how old a row is that was given to a member whom nobody knows before it is taken back: the member's node may just not have
// been heard yet.
const settled = 15 * time.Second

// lookAfterGroups takes rows back from members that are gone without a word, as with their node.
func (a *Applications) lookAfterGroups(ctx context.Context) error {
	a.mu.Lock()
	groups := make([]*group, 0, len(a.groups))
	for _, g := range a.groups {
		groups = append(groups, g)
	}
	a.mu.Unlock()
	until := int64(message.FirstID(a.now().Add(-settled)))
	for _, g := range groups {
		online := *g.online.Load()
		if len(online) == 0 {
			continue
		}
		holders, err := a.holders(ctx, g.id, until)
		if err != nil {
			return err
		}
		for _, identity := range holders {
			if !slices.ContainsFunc(online, func(m member) bool { return m.identity == identity }) {
				a.giveBack(g.id, releaseAll.Op(g.id, until, identity))
			}
		}
	}
	return nil
}

// holders are the members that rows of a group are given to.
func (a *Applications) holders(ctx context.Context, id, until int64) (list []string, err error) {
	rows, err := a.Store.Query(ctx, `SELECT DISTINCT member FROM queue WHERE device = ? AND seq <= ? AND member <> ''`, id, until)
	if err != nil {
		return nil, fmt.Errorf("read rows of a shared subscription: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var identity string
		if err := rows.Scan(&identity); err != nil {
			return nil, err
		}
		list = append(list, identity)
	}
	return list, rows.Err()
}

// Members is how many members of shared subscriptions of that name are connected, as far as this node knows.
func (a *Applications) Members(share string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, g := range a.groups {
		if key.share == share {
			n += len(*g.online.Load())
		}
	}
	return n
}
