package uplink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// lateParser answers from another goroutine, after a time of its own.
type lateParser struct{ t *testing.T }

func (l lateParser) Parse(_ context.Context, m *Message, done func([]byte, error)) {
	if m.Topic.Parse || strings.Contains(m.Name, "?") {
		l.t.Errorf("the parser sees %s", m.Name)
	}
	raw := string(m.Payload)
	go func() {
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
		switch raw {
		case "bad":
			r := Refuse(message.CodeBad, "line 1")
			r.Five = &server.Rejection{Code: packet.PayloadFormatInvalid}
			done(nil, r)
		case "later":
			done(nil, server.ErrUnavailable)
		case "broken":
			done([]byte(`{"n":`), nil)
		default:
			done([]byte(`{"n":`+raw+`}`), nil)
		}
	}()
}

// seenBy is a Matcher that keeps what it sees, by device.
type seenBy struct {
	mu  sync.Mutex
	all map[int64][]string
}

func (s *seenBy) Match(m *Message, name string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	v, err := payload()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.all[m.DeviceID] = append(s.all[m.DeviceID], err.Error())
		return out
	}
	s.all[m.DeviceID] = append(s.all[m.DeviceID], name+string(v.AppendJSON(nil)))
	return append(out, append([]byte{}, m.Payload...))
}

func custom(device int64, name, payload string) *Message {
	d := ident.Device{Product: dev.Product, SN: fmt.Sprintf("dev-%04d", device)}
	t, err := topic.Parse(topic.Name(d, name))
	if err != nil {
		panic(err)
	}
	return &Message{Device: d, DeviceID: device, Topic: t, Name: topic.Name(d, name), Payload: []byte(payload), QoS: 1}
}

// TestParseKeepsOrder: what needs the parser and what does not get to the rules, and are acknowledged, as they came; other devices do
// not wait.
func TestParseKeepsOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		seen := &seenBy{all: map[int64][]string{}}
		p := newPath(t, db, Config{Parser: lateParser{t}, Rules: seen})
		const devices, each = 8, 300
		var all sync.WaitGroup
		for d := range int64(devices) {
			all.Go(func() {
				var mu sync.Mutex
				var acked []int
				var waits sync.WaitGroup
				for n := range each {
					name := "upload"
					payload := fmt.Sprintf(`{"n":%d}`, n)
					if n%3 != 0 {
						name, payload = "upload?parse=true", fmt.Sprint(n)
					}
					waits.Add(1)
					p.Take(context.Background(), custom(d, name, payload), AckFunc(func(err error) {
						defer waits.Done()
						if err != nil {
							t.Errorf("message %d: %v", n, err)
						}
						mu.Lock()
						defer mu.Unlock()
						acked = append(acked, n)
					}))
				}
				waits.Wait()
				for i, n := range acked {
					if i != n {
						t.Fatalf("device %d: message %d was acknowledged as number %d", d, n, i)
					}
				}
			})
		}
		all.Wait()
		for d := range int64(devices) {
			if len(seen.all[d]) != each {
				t.Fatalf("device %d: rules saw %d messages", d, len(seen.all[d]))
			}
			for i, got := range seen.all[d] {
				if want := fmt.Sprintf(`/%s/dev-%04d/upload{"n":%d}`, dev.Product, d, i); got != want {
					t.Fatalf("device %d, message %d: got %s, want %s", d, i, got, want)
				}
			}
		}
		if p.parses.open.Load() != 0 || len(p.parses.all) != 0 {
			t.Errorf("%d series are left", len(p.parses.all))
		}
	})
}

// TestParseFails: nothing of a message that could not be parsed reaches the rules, and those behind it are not held up.
func TestParseFails(t *testing.T) {
	seen := &seenBy{all: map[int64][]string{}}
	db := storetest.SQLite(t)
	p := newPath(t, db, Config{Parser: lateParser{t}, Rules: seen})
	var five *server.Rejection
	var refused *Refusal
	err := p.Do(t.Context(), custom(1, "upload?parse=true", "bad"))
	if !errors.As(err, &refused) || refused.Code != message.CodeBad || !errors.As(err, &five) || five.Code != packet.PayloadFormatInvalid {
		t.Errorf("bad: %v", err)
	}
	if err := p.Do(t.Context(), custom(1, "upload?parse=true", "later")); !errors.Is(err, server.ErrUnavailable) {
		t.Errorf("later: %v", err)
	}
	if err := p.Do(t.Context(), custom(1, "upload?parse=true", "broken")); !errors.As(err, &refused) {
		t.Errorf("broken: %v", err)
	}
	if err := p.Do(t.Context(), custom(1, "upload?parse=true", "1")); err != nil {
		t.Errorf("behind them: %v", err)
	}
	none := newPath(t, db, Config{Rules: seen})
	if err := none.Do(t.Context(), custom(2, "upload?parse=true", "1")); !errors.As(err, &refused) || refused.Code != message.CodeNoPermission {
		t.Errorf("without a parser: %v", err)
	}
	if len(seen.all[1]) != 1 || len(seen.all[2]) != 0 {
		t.Errorf("rules saw %v", seen.all)
	}
}

// noted is a Journal that keeps the hops of messages.
type noted struct {
	mu   sync.Mutex
	hops map[string][]Hop
}

func (*noted) Level(*registry.Product) Level { return LevelAll }

func (n *noted) Ended(m *Message, _ Result, _ time.Duration) {
	hops, _ := m.Hops()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hops[string(m.Payload)] = append([]Hop{}, hops...)
}

// TestParseIsJournaled: what the parser made of a message is a hop of its way.
func TestParseIsJournaled(t *testing.T) {
	journal := &noted{hops: map[string][]Hop{}}
	p := newPath(t, storetest.SQLite(t), Config{Parser: lateParser{t}, Journal: journal})
	for payload, want := range map[string]Hop{"7": {Result: OK}, "bad": {Result: Refused, Code: message.CodeBad, Reason: "line 1"},
		"later": {Result: Failed, Reason: server.ErrUnavailable.Error()}} {
		_ = p.Do(t.Context(), custom(1, "upload?parse=true", payload)) // the hop tells
		if payload == "7" {
			payload = `{"n":7}`
		}
		journal.mu.Lock()
		hops := journal.hops[payload]
		journal.mu.Unlock()
		if len(hops) < 2 || hops[1].Name != "script" || hops[1].Result != want.Result || hops[1].Code != want.Code || hops[1].Reason != want.Reason {
			t.Errorf("%s: %+v", payload, hops)
		}
	}
}
