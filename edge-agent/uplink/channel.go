package uplink

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Keeper keeps small values over restarts; *state.Bucket is one.
type Keeper interface {
	Get(key string) []byte
	Put(key string, value []byte)
}

// memory is a Keeper that forgets.
type memory struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (m *memory) Get(key string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.m[key]
}

func (m *memory) Put(key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.m[key] = value
}

// keyWindow is where the retry window is kept.
const keyWindow = "retry-window"

// capBusy: what is refused as busy is brought again on the same connection.
const (
	capBusy    = "busy"
	reasonBusy = "busy"
)

// mute is for how long a hub that does not answer a hello is not asked again.
const mute = time.Hour

// channel is the agent channel on one connection. Without it (nil) the hub is a plain platform.
type channel struct {
	u     *Uplink
	feeds []*feed
	most  int // bytes of a message; 0: the hub has not said it yet

	owes bool // news are due at once

	ranges chan *agentmsg.Ranges
	plain  chan struct{} // closed when the hub says that it speaks no channel
	once   sync.Once
}

// greet begins the channel on a new connection; nil when the hub does not speak it.
func (u *Uplink) greet(ctx context.Context, feeds []*feed) *channel {
	if u.cfg.Plain || time.Now().Before(u.muted) {
		return nil
	}
	c := &channel{u: u, feeds: slices.Clone(feeds), ranges: make(chan *agentmsg.Ranges, 1), plain: make(chan struct{})}
	u.channel.Store(c)
	err := u.link.SubscribeOnce(ctx, topic.System(u.link.Device(), topic.AgentDown), 1)
	if errors.As(err, new(*link.SubscribeError)) {
		u.muted = time.Now().Add(mute)
		return nil
	}
	if err == nil {
		err = c.greeting(ctx, true)
	}
	if err != nil {
		return nil
	}
	wait := time.NewTimer(u.cfg.ReplyTimeout)
	defer wait.Stop()
	select {
	case r := <-c.ranges:
		return c.begin(r)
	case <-ctx.Done():
		if u.hush++; u.hush >= 2 { // a platform that ends the connection for it
			u.muted = time.Now().Add(mute)
		}
		return nil
	case <-c.plain:
	case <-wait.C:
	}
	u.muted = time.Now().Add(mute)
	u.log.Info("the hub speaks no agent channel: messages are sent one by one")
	return nil
}

// answeredLate tells whether the hub has answered a hello after it was given up: it speaks the channel.
func (u *Uplink) answeredLate() bool {
	c := u.channel.Load()
	if c == nil {
		return false
	}
	select {
	case <-c.ranges:
		u.muted = time.Time{}
		return true
	default:
		return false
	}
}

// say publishes a message of the channel; done, when it is not nil, runs when the hub has acknowledged it.
func (c *channel) say(ctx context.Context, m agentmsg.Message, done func()) error {
	b, err := agentmsg.Marshal(m)
	if err != nil {
		return err
	}
	r, err := c.u.link.Send(ctx, link.Message{Topic: topic.System(c.u.link.Device(), topic.AgentUp), Payload: b, QoS: 1})
	if err != nil || done == nil {
		return err
	}
	go func() { // it ends with the connection at the latest
		if <-r.Done(); r.Err() == nil {
			done()
		}
	}()
	return nil
}

// unasked is how long a hello may be before the hub has said what it takes: no hub takes less than 1 KiB, and none that is not set so less than 64.
const unasked = 4 << 10

// greeting says hello. When it would be too long the routes are left out; at the greeting itself they are told then as the first news.
func (c *channel) greeting(ctx context.Context, ask bool) error {
	h, most := c.hello(ask), c.most
	if most == 0 {
		most = unasked
	}
	b, err := agentmsg.Marshal(h)
	if err == nil && len(b)+overhead > most && len(h.Routes) > 0 {
		h.Routes, c.owes = nil, ask
	}
	if err != nil {
		return err
	}
	return c.say(ctx, h, nil)
}

// hello tells who speaks.
func (c *channel) hello(ask bool) *agentmsg.Hello {
	u := c.u
	h := &agentmsg.Hello{Ask: ask, Platform: runtime.GOOS + "/" + runtime.GOARCH, Caps: []string{string(agentmsg.TypeSlow), string(agentmsg.TypeRetry), string(agentmsg.TypeDiagnose), capBusy}}
	if u.cfg.Version != nil {
		h.Agent = u.cfg.Version()
	}
	if u.cfg.About != nil {
		u.cfg.About(h)
	}
	for _, f := range c.feeds {
		s := f.Buffer.Stats()
		_, next := f.Buffer.Place()
		st := agentmsg.Stream{Place: f.place, Next: next, Records: s.Records, Bytes: s.Bytes, Lost: s.Dropped + s.Rejected}
		if ask {
			st.Next, st.Settled = f.fresh, f.plain.settled()
		}
		h.Streams, h.Gaps = append(h.Streams, st), h.Gaps+len(f.Buffer.Gaps())
	}
	return h
}

// begin compares what the hub has with what the buffer holds; nil when the channel can't be used.
func (c *channel) begin(r *agentmsg.Ranges) *channel {
	u := c.u
	u.hush = 0
	if c.most = r.MaxBytes; c.most <= 0 {
		c.most = 64 << 10
	}
	u.remember(r.RetryWindow)
	have := make(map[agentmsg.Place]agentmsg.Set)
	for _, s := range r.Streams {
		have[s.Place] = s.Ranges
	}
	for _, f := range c.feeds {
		if h := have[f.place]; len(h) > 0 && h[len(h)-1][1] >= f.fresh {
			u.log.Error("the hub has higher numbers than this agent has given: its data are an old copy. Messages are sent one by one",
				"stream", f.name, "hub", h[len(h)-1][1], "agent", f.fresh)
			return nil
		}
	}
	for _, f := range c.feeds {
		f.mine = have[f.place].Clone()
		for _, p := range have[f.place] {
			f.Buffer.RemoveSpan(p[0], p[1])
		}
		u.bringBack(f, have[f.place])
	}
	return c
}

// bringBack has what the hub lost sent again, as far as it is still here; of the rest it leaves a gap.
func (u *Uplink) bringBack(f *feed, have agentmsg.Set) {
	var lost agentmsg.Set
	for _, s := range f.Buffer.Settled(1, f.fresh-1) {
		lost.AddAll(have.Missing(s.From, s.To))
	}
	for _, g := range f.Buffer.Gaps() {
		lost.Remove(agentmsg.Set{{g.From, g.To}})
	}
	for _, p := range lost {
		found, err := f.Buffer.Restore(p[0], p[1])
		if err != nil {
			u.log.Error("what the hub has lost can't be read again", "err", err)
		}
		gone := agentmsg.Set{p}
		for _, s := range found {
			gone.Remove(agentmsg.Set{{s.From, s.To}})
			u.log.Info("the hub has lost messages: they are sent again", "stream", f.name, "from", s.From, "to", s.To)
		}
		for _, g := range gone {
			f.Buffer.Lost(g[0], g[1], buffer.Released)
		}
	}
}

// remember keeps the retry window for the next outage.
func (u *Uplink) remember(seconds int) {
	window := time.Duration(seconds) * time.Second
	if u.link.SetRetryWindow(window) {
		u.keep.Put(keyWindow, []byte(window.String()))
	}
}

// recall is remember's other half, at the start.
func (u *Uplink) recall() {
	if d, err := time.ParseDuration(string(u.keep.Get(keyWindow))); err == nil {
		u.link.SetRetryWindow(d)
	}
}

// hear takes what comes down on the channel.
func (u *Uplink) hear(payload []byte) {
	c := u.channel.Load()
	m, err := agentmsg.Parse(payload)
	if c == nil || err != nil && !errors.Is(err, agentmsg.ErrUnsupported) {
		u.log.Warn("a message of the agent channel can't be taken", "err", err)
		return
	}
	switch m := m.(type) {
	case *agentmsg.Ranges:
		select {
		case c.ranges <- m:
			u.wake()
		default:
		}
	case *agentmsg.Refused:
		c.refuse(m)
	case *agentmsg.Slow:
		for _, f := range c.feeds {
			if m.Stream == "" || m.Stream == f.name {
				f.mu.Lock()
				f.rate, f.slow = max(m.Rate, 0.1), time.Now().Add(min(time.Duration(m.ForMs)*time.Millisecond, time.Minute))
				f.mu.Unlock()
			}
		}
	case *agentmsg.Retry:
		u.remember(m.Window)
	case *agentmsg.Config:
		u.asked(m)
	case *agentmsg.Diagnose:
		if m.Bundle {
			u.asked(m)
			return
		}
		c.answer(&agentmsg.Diagnosis{ID: m.ID, Values: u.diagnosis()})
	case *agentmsg.Unsupported:
		if err != nil { // it is our answer to a type of the future
			c.answer(m)
		} else if m.Type == agentmsg.TypeHello {
			c.once.Do(func() { close(c.plain) })
		}
	}
}

func (c *channel) answer(m agentmsg.Message) {
	if err := c.say(context.Background(), m, nil); err != nil {
		c.u.log.Debug("the hub was not answered", "err", err)
	}
}

func (u *Uplink) asked(m agentmsg.Message) {
	if u.cfg.Asked != nil {
		u.cfg.Asked(m)
	}
}

// Say says something on the agent channel, if the hub speaks it; what does not arrive is for the next hello to tell.
func (u *Uplink) Say(m agentmsg.Message) {
	if c := u.channel.Load(); c != nil {
		c.answer(m)
	}
}

// Now is the time, as well as it is known: by the hub's clock where the machine has none.
func (u *Uplink) Now() time.Time { return u.judge() }

// diagnosis is how the agent is.
func (u *Uplink) diagnosis() map[string]any {
	var s buffer.Stats
	for _, st := range u.streams {
		s.Add(st.Buffer.Stats())
	}
	l := u.link.Stats()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return map[string]any{"buffered": s.Records, "buffered_bytes": s.Bytes, "accepted": s.Appended, "carried": s.Removed, "dropped": s.Dropped,
		"refused": s.Rejected, "failed": s.Failed, "connects": l.Connects, "published": l.Published, "received": l.Received,
		"goroutines": runtime.NumGoroutine(), "memory": int64(m.Sys)}
}

// refuse has records wait that the hub has not taken: their device is not logged in there, it has too many holes, or a rule of its has no room for them.
func (c *channel) refuse(m *agentmsg.Refused) {
	i := slices.IndexFunc(c.feeds, func(f *feed) bool { return f.place == m.Place })
	if i < 0 {
		return
	}
	u, f := c.u, c.feeds[i]
	f.mu.Lock()
	f.back.AddAll(m.Numbers)
	open := m.Numbers.Clone()
	for _, p := range m.Numbers {
		found, err := f.Buffer.Restore(p[0], p[1]) // those whose batch is acknowledged already
		if err != nil {
			u.log.Error("records that the hub refused can't be kept", "err", err)
		}
		for _, s := range found {
			open.Remove(agentmsg.Set{{s.From, s.To}}) // else the next batch with them would leave them here
		}
	}
	f.refused.AddAll(open)
	f.mu.Unlock()
	if m.Reason == reasonBusy {
		u.mu.Lock()
		if u.again.IsZero() {
			u.again = time.Now().Add(u.cfg.RetryBusy)
		}
		u.mu.Unlock()
		u.wake()
		return
	}
	for _, p := range m.Numbers {
		for n := p[0]; n <= p[1]; n++ {
			recs, err := f.Buffer.Read(n-1, 1)
			if err != nil || len(recs) == 0 || recs[0].Seq != n {
				continue
			}
			if t, err := topic.Parse(recs[0].Topic); err == nil && m.Reason == "permission" {
				u.mu.Lock()
				u.revoked[t.Device] = true
				u.mu.Unlock()
			}
		}
	}
	u.wake()
}

// yield waits as long as the hub has asked for, for n records of a stream.
func (f *feed) yield(ctx context.Context, n int) {
	d := f.wait(n)
	if d <= 0 {
		return
	}
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
