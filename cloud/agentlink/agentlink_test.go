package agentlink_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/firmware/frame"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

var place = agentmsg.Place{Stream: "messages", Epoch: agentmsg.EpochOf(7)}

// agent is a gateway with two sub-devices, which speaks the channel by hand.
type agent struct {
	*brokertest.Stack
	t    *testing.T
	dev  *registry.Device
	subs []*registry.Device
	c    *brokertest.Client
}

func newAgent(t *testing.T, db *store.DB) *agent { return newAgentWith(t, db, registry.Settings{}) }

func newAgentWith(t *testing.T, db *store.DB, s registry.Settings) *agent {
	return newAgentOn(t, brokertest.Config{Store: db}, s)
}

func newAgentOn(t *testing.T, c brokertest.Config, s registry.Settings) *agent {
	a := &agent{Stack: brokertest.New(t, c), t: t}
	a.dev = a.Device(t, a.Product(t, registry.NewProduct{Kind: registry.KindGateway, Settings: s}), "gw-0001")
	p := a.Product(t, registry.NewProduct{Kind: registry.KindSubdevice})
	for _, sn := range []string{"sub-0001", "sub-0002"} {
		a.subs = append(a.subs, a.Device(t, p, sn))
	}
	a.dial()
	a.ask(topic.TopoAdd, a.subs...)
	a.ask(topic.SubdevLogin, a.subs...)
	return a
}

// restart is the same agent at a new hub over the same store.
func (a *agent) restart(db *store.DB) *agent {
	a.Stop()
	b := &agent{Stack: brokertest.New(a.t, brokertest.Config{Store: db}), t: a.t, dev: a.dev, subs: a.subs}
	b.dial()
	b.ask(topic.SubdevLogin, b.subs...)
	return b
}

func (a *agent) dial() {
	login := brokertest.Of(a.dev)
	login.Persistent = true
	a.c = a.MustDial(a.t, login)
	for _, k := range []topic.Kind{topic.AgentDown, topic.TopoAddReply, topic.SubdevLoginReply} {
		a.c.Subscribe(topic.System(a.dev.Identity, k))
	}
}

func (a *agent) ask(kind topic.Kind, subs ...*registry.Device) {
	a.t.Helper()
	req := message.SubdevRequest{RequestID: "7"}
	for _, d := range subs {
		req.Params = append(req.Params, message.NewSubdev(d.Identity))
	}
	b, err := json.Marshal(req)
	if err != nil {
		a.t.Fatal(err)
	}
	a.c.Send(topic.System(a.dev.Identity, kind), string(b))
	if got := a.c.Message(); !strings.Contains(got.Payload, `"RetCode":0`) {
		a.t.Fatalf("%s: %s", kind, got.Payload)
	}
}

// say publishes a message, and returns what came down before its acknowledgement.
func (a *agent) say(m agentmsg.Message) []agentmsg.Message {
	a.t.Helper()
	b, err := agentmsg.Marshal(m)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.sayRaw(b)
}

func (a *agent) sayRaw(b []byte) (down []agentmsg.Message) {
	a.t.Helper()
	for _, p := range a.c.Publish(topic.System(a.dev.Identity, topic.AgentUp), string(b)) {
		if p.Type != packet.PUBLISH {
			continue
		}
		m, err := agentmsg.Parse([]byte(p.Payload))
		if err != nil {
			a.t.Fatalf("%s: %v", p.Topic, err)
		}
		down = append(down, m)
	}
	return down
}

// hello returns what the hub has.
func (a *agent) hello(next uint64, settled ...agentmsg.Span) string {
	a.t.Helper()
	down := a.say(&agentmsg.Hello{Ask: true, Agent: "1.0", Streams: []agentmsg.Stream{{Place: place, Next: next, Settled: settled}}})
	if len(down) != 1 {
		a.t.Fatalf("a hello was answered by %v", down)
	}
	r := down[0].(*agentmsg.Ranges)
	if len(r.Streams) != 1 || r.Streams[0].Place != place {
		a.t.Fatalf("ranges of %+v", r.Streams)
	}
	return fmt.Sprint(r.Streams[0].Ranges)
}

// upload is where the records of a sub-device go.
func (a *agent) upload(sub int) string { return topic.Name(a.subs[sub].Identity, "upload") }

// records makes one record for each number, of the sub-devices in turn.
func (a *agent) records(seqs ...uint64) (list []agentmsg.Record) {
	for _, n := range seqs {
		list = append(list, agentmsg.Record{Seq: n, Time: time.Now().UnixMilli(), QoS: 1, Topic: a.upload(int(n % 2)), Payload: fmt.Appendf(nil, `{"n":%d}`, n)})
	}
	return list
}

func (a *agent) batch(packed bool, list []agentmsg.Record) *agentmsg.Batch {
	var w agentmsg.Writer
	for i := range list {
		w.Add(&list[i])
	}
	b := &agentmsg.Batch{Place: place, First: w.First(), Count: w.Count(), Data: w.Data()}
	if packed {
		e, err := frame.NewEncoder()
		if err != nil {
			a.t.Fatal(err)
		}
		b.Size, b.Data = len(b.Data), e.Append(nil, b.Data)
	}
	return b
}

// seen are the numbers that rules saw of both sub-devices, each in order.
func (a *agent) seen() string {
	var out []string
	for i := range a.subs {
		var list []string
		for _, s := range a.Rules.Of(a.upload(i)) {
			list = append(list, strings.TrimSuffix(strings.TrimPrefix(s.Payload, `{"n":`), "}"))
		}
		out = append(out, strings.Join(list, " "))
	}
	return strings.Join(out, " | ")
}

func (a *agent) want(about, got, want string) {
	a.t.Helper()
	if got != want {
		a.t.Errorf("%s: %s, want %s", about, got, want)
	}
}

// quiet fails the test when there is an answer.
func (a *agent) quiet(down []agentmsg.Message) {
	a.t.Helper()
	if len(down) > 0 {
		a.t.Fatalf("answered by %+v", down[0])
	}
}

func TestBatches(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a := newAgent(t, db)
		a.want("a new stream", a.hello(1), "[]")
		first := a.batch(true, a.records(1, 2, 3, 4, 5))
		a.quiet(a.say(first))
		a.want("a batch", a.seen(), "2 4 | 1 3 5")
		a.quiet(a.say(first))
		a.quiet(a.say(a.batch(false, a.records(4, 5, 6))))
		a.quiet(a.say(a.batch(false, a.records(9))))
		a.quiet(a.say(a.batch(false, a.records(9))))
		a.want("after repeats", a.seen(), "2 4 6 | 1 3 5 9")
		a.want("a second hello", a.hello(10), "[[1 6] [9 9]]")

		b := a.restart(db)
		a.want("after a restart", b.hello(10), "[[1 6] [9 9]]")
		a.quiet(b.say(b.batch(true, b.records(5, 6, 7, 8, 9, 10))))
		a.want("after a restart", b.seen(), "8 10 | 7")
		a.want("all of it", b.hello(11), "[[1 10]]")
		var marks int
		if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM agent_mark`).Scan(&marks); err != nil || marks != 0 {
			t.Errorf("%d marks are left (%v)", marks, err)
		}
	})
}

// TestCrash: what a hub has committed of a batch that it did not acknowledge is known by its marks, also when they are committed only after the hello.
func TestCrash(t *testing.T) {
	a := newAgent(t, storetest.SQLite(t))
	mark := func(seq int) {
		t.Helper()
		err := a.Store.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO agent_mark (device, stream, epoch, seq) VALUES (?, ?, ?, ?)`, a.dev.ID, place.Stream, string(place.Epoch), seq)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	mark(2)
	a.want("with a mark", a.hello(5), "[[2 2]]")
	mark(3)
	a.quiet(a.say(a.batch(false, a.records(1, 2, 3, 4))))
	a.want("what was committed", a.seen(), "4 | 1")
	a.want("all of it", a.hello(5), "[[1 4]]")
}

func TestRefused(t *testing.T) {
	a := newAgent(t, storetest.SQLite(t))
	a.hello(1)
	list := a.records(1, 2, 3, 4)
	list[1].Topic = "/" + a.dev.Identity.Product + "/somebody/upload"
	list[2].Topic = topic.System(a.dev.Identity, topic.AgentUp)
	down := a.say(a.batch(false, list))
	if r, ok := down[0].(*agentmsg.Refused); !ok || fmt.Sprint(r.Numbers) != "[[2 3]]" || r.Reason != "permission" || r.Place != place {
		t.Errorf("refused: %+v", down[0])
	}
	a.want("the others", a.seen(), "4 | 1")
	a.want("what has come", a.hello(5), "[[1 1] [4 4]]")

	// 64 holes are enough.
	var apart []uint64
	for n := uint64(100); n < 100+2*62; n += 2 {
		apart = append(apart, n)
	}
	a.quiet(a.say(a.batch(true, a.records(apart...))))
	down = a.say(a.batch(false, a.records(1000)))
	if r, ok := down[0].(*agentmsg.Refused); !ok || r.Reason != "ranges" || fmt.Sprint(r.Numbers) != "[[1000 1000]]" {
		t.Errorf("the 65th range: %+v", down[0])
	}
	a.quiet(a.say(a.batch(false, a.records(101)))) // one that closes a hole is taken

	// A message that is none, and one of the future, do no harm; a bomb costs nothing.
	a.quiet(a.sayRaw([]byte("{}")))
	bomb := a.batch(true, a.records(2000))
	bomb.Size = agentmsg.MaxData
	a.quiet(a.say(bomb))
	future, err := codec.Marshal(codec.CBOR, map[string]any{"t": "teleport", "v": 9})
	if err != nil {
		t.Fatal(err)
	}
	down = a.sayRaw(future)
	if u, ok := down[0].(*agentmsg.Unsupported); !ok || u.Type != "teleport" {
		t.Errorf("a type of the future: %+v", down[0])
	}
	a.want("in the end", a.seen(), "4 "+numbers(100, 100+2*62, 2)+" | 1 101")
}

func numbers(from, to, step int) string {
	var out []string
	for n := from; n < to; n += step {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, " ")
}

func TestGaps(t *testing.T) {
	a := newAgent(t, storetest.SQLite(t))
	a.hello(100, agentmsg.Span{1, 10})
	a.quiet(a.say(a.batch(false, a.records(20, 21))))
	gap := &agentmsg.Gap{Gaps: []agentmsg.Loss{
		{Place: place, From: 11, To: 19, Reason: "quota", Bytes: 900},
		{Place: place, From: 30, To: 40, Reason: "mixed", Settled: agentmsg.Set{{30, 31}, {40, 40}}}}}
	a.quiet(a.say(gap))
	a.quiet(a.say(gap))
	events := a.Rules.Of(topic.System(a.dev.Identity, topic.AgentEvent))
	if len(events) != 2 || events[0].Payload != `{"Type":"gap","Stream":"messages","Epoch":"0000000000000007","From":11,"To":19,"Count":9,"Reason":"quota","Bytes":900}` {
		t.Errorf("events: %+v", events)
	}
	a.want("what is settled", a.hello(100), "[[1 21] [30 31] [40 40]]")
	info, err := a.Agents.Agent(t.Context(), a.dev.ID)
	if err != nil || len(info.Gaps) != 2 || info.Version != "1.0" || len(info.Streams) != 1 || info.Streams[0].Next != 100 {
		t.Errorf("info: %+v %v", info, err)
	}
	// An epoch that is over is forgotten.
	a.say(&agentmsg.Hello{Ask: true, Agent: "1.0", Streams: []agentmsg.Stream{{Place: agentmsg.Place{Stream: "messages", Epoch: agentmsg.EpochOf(8)}, Next: 1}}})
	a.want("the old epoch", a.hello(100), "[]")
}

// TestProductPacket: the longest packet of a gateway's product is for what it publishes itself, on its own or as a record of a batch; not for the batch, which
// would be acknowledged and lost.
func TestProductPacket(t *testing.T) {
	most := int64(512)
	a := newAgentWith(t, storetest.SQLite(t), registry.Settings{MaxPacket: &most})
	a.hello(1)
	var all []uint64
	for n := uint64(1); n <= 100; n++ {
		all = append(all, n)
	}
	b := a.batch(false, a.records(all...))
	if len(b.Data) < 2*int(most) {
		t.Fatalf("a batch of %d bytes shows nothing", len(b.Data))
	}
	a.quiet(a.say(b))
	a.want("what has come", a.hello(101), "[[1 100]]")
	list := a.records(101, 102)
	list[0].Topic, list[0].Payload = topic.Name(a.dev.Identity, "upload"), make([]byte, most)
	down := a.say(a.batch(false, list))
	if r, ok := down[0].(*agentmsg.Refused); !ok || fmt.Sprint(r.Numbers) != "[[101 101]]" {
		t.Errorf("a long record: %+v", down[0])
	}
	a.want("what has come", a.hello(103), "[[1 100] [102 102]]")
}

// blocking are rules that have no room for what a number causes.
type blocking struct {
	brokertest.Recorder
	mu   sync.Mutex
	full map[string]bool // by payload
}

func (b *blocking) Match(m *uplink.Message, topicName string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	b.mu.Lock()
	full := b.full[string(m.Payload)]
	b.mu.Unlock()
	if full && m.Hold(errors.New("no room")) {
		return out
	}
	return b.Recorder.Match(m, topicName, payload, out)
}

// TestRuleThatBlocks: records for which a rule has no room are to be brought again, and less meanwhile; the others of their batch are taken.
func TestRuleThatBlocks(t *testing.T) {
	rules := &blocking{full: map[string]bool{`{"n":2}`: true, `{"n":3}`: true, `{"n":7}`: true}}
	a := newAgentOn(t, brokertest.Config{Store: storetest.SQLite(t), Rules: rules}, registry.Settings{})
	say := func(n uint64) string {
		h := &agentmsg.Hello{Ask: true, Agent: "1.0", Caps: []string{"busy"}, Streams: []agentmsg.Stream{{Place: place, Next: n}}}
		return fmt.Sprint(a.say(h)[0].(*agentmsg.Ranges).Streams[0].Ranges)
	}
	say(1)
	told := map[string]int{}
	for _, list := range [][]uint64{{1, 2, 3, 4}, {7}} {
		for _, m := range a.say(a.batch(false, a.records(list...))) {
			switch m := m.(type) {
			case *agentmsg.Refused:
				told[fmt.Sprint(m.Reason, m.Numbers)]++
			case *agentmsg.Slow:
				told["slow"]++
				if m.Rate <= 0 || m.ForMs <= 0 {
					t.Errorf("slow: %+v", m)
				}
			}
		}
	}
	if want := map[string]int{"busy[[2 3]]": 1, "busy[[7 7]]": 1, "slow": 1}; !maps.Equal(told, want) {
		t.Errorf("the agent was told %v, want %v", told, want)
	}
	a.want("what has come", say(8), "[[1 1] [4 4]]")
	rules.mu.Lock()
	rules.full = nil
	rules.mu.Unlock()
	a.quiet(a.say(a.batch(false, a.records(1, 2, 3, 4, 7))))
	a.want("when there is room", say(8), "[[1 4] [7 7]]")
}

// TestAbout: what a hello tells of the gateway is kept, the last word of it.
func TestAbout(t *testing.T) {
	a := newAgent(t, storetest.SQLite(t))
	for _, want := range [][]agentmsg.Route{{{Name: "hot", Matched: 12, Failed: 1, Sent: 20, Waiting: 2, Dropped: 3}, {Name: "fire"}}, nil} {
		a.say(&agentmsg.Hello{Agent: "1.3.0", Variant: "gateway", Routes: want})
		info, err := a.Agents.Agent(t.Context(), a.dev.ID)
		if err != nil || !slices.Equal(info.Routes, want) || info.Variant != "gateway" {
			t.Errorf("%+v, %v, want routes %+v", info, err, want)
		}
	}
}

// TestTime: a record has the time at which the agent took it, if that can be.
func TestTime(t *testing.T) {
	a := newAgent(t, storetest.SQLite(t))
	a.hello(1)
	now := time.Now()
	for i, tt := range []struct {
		at   time.Time
		want time.Time
	}{{now.Add(-3 * time.Hour), now.Add(-3 * time.Hour)}, {time.UnixMilli(0), now}, {now.Add(80 * 365 * 24 * time.Hour), now}, {now.Add(time.Minute), now.Add(time.Minute)}} {
		list := a.records(uint64(2*i + 1))
		list[0].Time = tt.at.UnixMilli()
		a.quiet(a.say(a.batch(false, list)))
		seen := a.Rules.Of(a.upload(1))
		if got := seen[len(seen)-1].At; got.Sub(tt.want).Abs() > 20*time.Second {
			t.Errorf("a record of %s has the time %s", tt.at, got)
		}
	}
}

// TestReturn: all agents of a fleet that come back at once are spread over the retry window.
func TestReturn(t *testing.T) {
	a := newAgent(t, storetest.SQLite(t))
	down := a.say(&agentmsg.Hello{Agent: "1.0"})
	if r, ok := down[0].(*agentmsg.Retry); !ok || r.Window != 1 {
		t.Errorf("one agent's window: %+v", down[0])
	}
	if a.c.Code != packet.Accepted {
		t.Error("not connected")
	}
	a.c.Disconnect()
	brokertest.Eventually(t, "the agent is forgotten", func() bool { return a.Agents.Connected() == 0 })
}
