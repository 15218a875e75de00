package application

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/protocol/codec"
)

// allSubject is where nodes tell all others something, nodeSubject where one is told.
const allSubject = "hawser.application"

func nodeSubject(node string) string { return "hawser.node." + node + ".application" }

// note is what nodes tell each other. One field is set.
type note struct {
	Node    string            `json:"n"`
	Filters []downlink.Filter `json:"f,omitempty"` // with Announce: what the node's sessions listen to that are not persistent
	Listen  bool              `json:"a,omitempty"`
	Changed int64             `json:"c,omitempty"` // the stored session with that id
	Cut     string            `json:"x,omitempty"` // the session of that identity has been taken over
	Wake    int64             `json:"w,omitempty"` // a row waits for the session with that id …
	Seq     int64             `json:"s,omitempty"` // … this one
	Message *wireMessage      `json:"m,omitempty"`
	Members []wireMember      `json:"g,omitempty"` // with Announce: of shared subscriptions
	Free    int64             `json:"r,omitempty"` // rows of the group with that id are nobody's
}

// wireMessage is a message of a device on its way to another node's applications.
type wireMessage struct {
	Product string `json:"p"`
	SN      string `json:"d"`
	Topic   string `json:"t"`
	Payload []byte `json:"b"`
	QoS     byte   `json:"q"`
	Retain  bool   `json:"r,omitempty"`
	Seq     int64  `json:"s,omitempty"` // of its rows; 0: there is none for the receiver
	// Of one that was picked for a member of a group.
	Share  string `json:"h,omitempty"`
	Group  int64  `json:"g,omitempty"`
	Member string `json:"m,omitempty"`
}

// wireMember is a session that a node holds, and a shared subscription of it.
type wireMember struct {
	Project  string `json:"p"`
	Products string `json:"d"`
	Share    string `json:"h"`
	Identity string `json:"i"`
	QoS      byte   `json:"q"`
}

// peer is what is known of another node.
type peer struct {
	filters []downlink.Filter
	members []wireMember
	heard   time.Time
}

// silence is after how many announcements a node that is not heard is taken for dead.
const silence = 6

// tell sends a note to a node, or to all with "". It does not wait; a lost one is made up for by the next announcement, by the
// store, or by the session's next connection.
func (a *Applications) tell(node string, n note) {
	n.Node = a.cfg.Node
	subject := allSubject
	if node != "" {
		subject = nodeSubject(node)
	}
	b, err := codec.Marshal(codec.CBOR, n)
	if err == nil {
		err = a.Bus.Publish(subject, b)
	}
	if err != nil {
		a.Log.Warn("other nodes not told of an application", "err", err)
	}
}

// announce tells the others what this node's sessions listen to that are not persistent.
func (a *Applications) announce() {
	n := note{Listen: true}
	a.mu.Lock()
	for _, s := range a.local {
		for _, f := range s.Filters() {
			if strings.HasPrefix(f.Filter, sharePrefix) {
				k := keyOf(&s.App, f.Filter)
				n.Members = append(n.Members, wireMember{k.project, k.products, k.share, s.Identity, f.QoS})
				continue
			}
			n.Filters = put(n.Filters, f, s.ID == 0)
		}
	}
	a.mu.Unlock()
	slices.SortFunc(n.Members, func(a, b wireMember) int { return strings.Compare(a.Identity+a.Share, b.Identity+b.Share) })
	slices.SortFunc(n.Filters, func(a, b downlink.Filter) int { return strings.Compare(a.Filter, b.Filter) })
	a.tell("", n)
}

// put keeps a filter once, with the highest quality of service. Persistent sessions want what has no row only: QoS 0.
func put(list []downlink.Filter, f downlink.Filter, all bool) []downlink.Filter {
	if !all {
		f.QoS = 0
	}
	for i := range list {
		if list[i].Filter == f.Filter {
			list[i].QoS = max(list[i].QoS, f.QoS)
			return list
		}
	}
	return append(list, f)
}

// wake finds the connection of a session that was away when a message matched it: the session has one here meanwhile, or the node that held it
// last is told of the row, as it may do so still.
func (a *Applications) wake(s *Session, w *wireMessage) {
	a.mu.Lock()
	now := a.stored[s.ID]
	a.mu.Unlock()
	switch {
	case now != nil && now != s && now.here():
		now.hand(ref{now.ID, w.Seq}, w.message())
	case s.node != "" && s.node != a.cfg.Node:
		a.tell(s.node, note{Wake: s.ID, Seq: w.Seq})
	}
}

// Run hears other nodes and looks after sessions until ctx ends; kick ends an application's connection.
func (a *Applications) Run(ctx context.Context, kick func(identity string)) error {
	hear := func(_ string, b []byte) []byte { a.hear(ctx, b, kick); return nil }
	for _, subject := range []string{allSubject, nodeSubject(a.cfg.Node)} {
		stop, err := a.Bus.Subscribe(subject, hear)
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := a.refresh(ctx); err != nil && ctx.Err() == nil {
		a.Log.Warn("sessions of applications not read", "err", err)
	}
	a.announce()
	recheck, announce, trim := time.NewTicker(a.cfg.Recheck), time.NewTicker(a.cfg.Announce), time.NewTicker(time.Minute)
	defer recheck.Stop()
	defer announce.Stop()
	defer trim.Stop()
	defer a.work.Wait()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-recheck.C:
			a.recheck(ctx, kick)
		case <-a.keys:
			a.recheck(ctx, kick)
		case <-announce.C:
			a.bury()
			a.announce()
			err = errors.Join(a.refresh(ctx), a.lookAfterGroups(ctx))
			a.catchUpAll()
		case now := <-trim.C:
			_, err = a.Trim(ctx, now)
		}
		if err != nil && ctx.Err() == nil {
			a.Log.Warn("sessions of applications not looked after", "err", err)
		}
	}
}

// hear takes a note of another node.
func (a *Applications) hear(ctx context.Context, b []byte, kick func(string)) {
	var n note
	if err := codec.Unmarshal(b, &n); err != nil {
		a.Log.Warn("note of another node not understood", "err", err)
		return
	}
	var err error
	switch {
	case n.Node == a.cfg.Node:
	case n.Listen:
		a.listen(n.Node, n.Filters, n.Members)
	case n.Cut != "":
		kick(n.Cut)
	case n.Changed != 0:
		err = a.reread(ctx, n.Changed)
	case n.Wake != 0:
		err = a.offerRow(ctx, n.Wake, n.Seq)
	case n.Free != 0:
		a.catchUpGroup(n.Free)
	case n.Message != nil && n.Message.Member != "":
		a.foreignGroup(n.Message)
	case n.Message != nil:
		a.foreign(ctx, n.Message)
	}
	if err != nil {
		a.Log.Warn("note of another node not followed", "err", err)
	}
}

// listen takes over what a node's applications listen to.
func (a *Applications) listen(node string, filters []downlink.Filter, members []wireMember) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.nodes[node]
	if old != nil && slices.Equal(old.filters, filters) && slices.Equal(old.members, members) {
		old.heard = a.now()
		return
	}
	a.buryLocked(node)
	a.nodes[node] = &peer{filters: filters, members: members, heard: a.now()}
	for _, f := range filters {
		a.growLocked(f.Filter, subscription{node: node, qos: f.QoS})
	}
	a.regroupLocked()
}

// bury forgets nodes that have not been heard for long. Time in which this node itself stood still is no silence of theirs: what they said waits.
func (a *Applications) bury() {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	still := max(0, now.Sub(a.buried)-2*a.cfg.Announce)
	if a.buried.IsZero() {
		still = 0
	}
	a.buried = now
	for node, p := range a.nodes {
		p.heard = p.heard.Add(still)
		if now.Sub(p.heard) > silence*a.cfg.Announce {
			a.buryLocked(node)
			a.regroupLocked()
		}
	}
}

func (a *Applications) buryLocked(node string) {
	p := a.nodes[node]
	if p == nil {
		return
	}
	delete(a.nodes, node)
	for _, f := range p.filters {
		a.shrinkLocked(f.Filter, func(s subscription) bool { return s.node == node })
	}
}

// foreign serves this node's sessions with a message that came up on another. What is a row for a session comes by Wake.
func (a *Applications) foreign(ctx context.Context, m *wireMessage) {
	p, err := a.Registry.Product(ctx, m.Product)
	if err != nil {
		return
	}
	for _, s := range a.find(m.Topic, p) {
		if s.session != nil && !s.durable(m.QoS) {
			a.pass(s.session, m.message())
		}
	}
}

// offerRow hands a row to its session, if that is connected here.
func (a *Applications) offerRow(ctx context.Context, id, seq int64) error {
	a.mu.Lock()
	s := a.stored[id]
	a.mu.Unlock()
	if s == nil || !s.here() {
		return nil
	}
	list, err := a.rows(ctx, ref{id, seq - 1}, "", 1)
	if err != nil || len(list) == 0 || list[0].seq != seq {
		return err // or it was read and acknowledged already
	}
	s.hand(list[0].ref, list[0].m)
	return nil
}

// here tells whether the session is connected to this node.
func (s *Session) here() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.link != nil
}

// catchUpAll has sessions look for rows that no note told of: the node that made them did not know yet where the session is, or the note
// was lost.
func (a *Applications) catchUpAll() {
	a.mu.Lock()
	list := make([]*Session, 0, len(a.local))
	for _, s := range a.local {
		if s.ID != 0 || len(s.shared()) > 0 {
			list = append(list, s)
		}
	}
	a.mu.Unlock()
	for _, s := range list {
		a.catchUp(s, true)
	}
}
