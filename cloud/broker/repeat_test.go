package broker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// outputs is a set of rules that makes an output of each message and remembers which.
type outputs struct {
	mu   sync.Mutex
	seen []string
}

func (o *outputs) Match(m *uplink.Message, name string, _ func() (codec.Value, error), out [][]byte) [][]byte {
	if !strings.Contains(name, "/upload") {
		return out
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, string(m.Payload))
	return append(out, []byte(m.Payload))
}

func (o *outputs) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	got := fmt.Sprint(o.seen)
	o.seen = nil
	return got
}

// TestRepeats: a QoS 1 publish with DUP in a persistent session is known as a repeat when its message is committed, over connections and
// restarts of the node; what is marked so and did not arrive before is taken.
func TestRepeats(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		rules := &outputs{}
		s := brokertest.New(t, brokertest.Config{Store: db, Rules: rules})
		d := s.New(t)
		login := brokertest.Login{Device: d.Identity, Password: d.Secret.Reveal(), Persistent: true}
		name := topic.Name(d.Identity, "upload")
		c := s.MustDial(t, login)
		c.Publish(name, "1") // packet id 1
		c.Publish(name, "2")
		if got := rules.take(); got != "[1 2]" {
			t.Fatalf("rules saw %s", got)
		}
		c.Repeat(2, name, "2")
		c.Break()
		s.Stop()

		s = brokertest.New(t, brokertest.Config{Store: db, Rules: rules})
		c = s.MustDial(t, login)
		for _, test := range []struct {
			about, topic, payload string
			id                    uint16
			want                  string
		}{
			{"a repeat after a restart", name, "2", 2, "[]"},
			{"the one before it", name, "1", 1, "[]"},
			{"another message under its id", name, "3", 2, "[3]"},
			{"the same again", name, "3", 2, "[]"},
			{"the same payload under another id", name, "3", 9, "[3]"},
			{"the same payload on another topic", topic.Name(d.Identity, "upload/event"), "3", 9, "[3]"},
			{"an id that shares its place", name, "3", 9 + 16, "[3]"},
			{"what has lost its place", name, "3", 9, "[3]"},
		} {
			c.Repeat(test.id, test.topic, test.payload)
			if got := rules.take(); got != test.want {
				t.Errorf("%s: rules saw %s, want %s", test.about, got, test.want)
			}
		}
		c.Disconnect()
		login.Persistent = false
		c = s.MustDial(t, login)
		c.Publish(name, "4")
		rules.take()
		if c.Repeat(1, name, "4"); rules.take() != "[4]" {
			t.Error("a session that is not kept knows a repeat")
		}
		var n int
		if err := db.QueryRow(context.Background(), `SELECT COUNT(*) FROM origin`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d origins are left of a session that is gone, %v", n, err)
		}
	})
}
