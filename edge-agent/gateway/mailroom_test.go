package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// TestMailIsBounded: one sleeper's mail costs its own oldest, and all together no more than there is room for.
func TestMailIsBounded(t *testing.T) {
	g := &Gateway{log: slog.New(slog.DiscardHandler), members: make(map[ident.Device]*member), cfg: Config{State: nowhere{}}}
	body := make([]byte, 200<<10)
	for i := range 18 {
		m := newMember(ident.Device{Product: "abcdefghij012345", SN: fmt.Sprintf("sleeper-%d", i)}, "x")
		name := topic.Name(m.device, "set")
		m.said.Filters = []server.Subscription{{Filter: name, QoS: 1}}
		full := false
		for range 6 {
			kept, err := g.keep(m, name, body, 1)
			full = full || errors.Is(err, server.ErrFull)
			if !kept || err != nil && !full {
				t.Fatalf("%v, %v", kept, err)
			}
		}
		if m.mailBytes > maxMailBytes || g.mailBytes > MaxMail || i >= 16 != full {
			t.Fatalf("sleeper %d: %d bytes, %d of all, full %v", i, m.mailBytes, g.mailBytes, full)
		}
		if i == 17 {
			g.discardLocked(m)
		}
	}
	if err := func() error {
		m := newMember(ident.Device{Product: "abcdefghij012345", SN: "sleeper"}, "x")
		m.said.Filters = []server.Subscription{{Filter: topic.Name(m.device, "set")}}
		_, err := g.keep(m, topic.Name(m.device, "set"), make([]byte, maxMailBytes+1), 1)
		return err
	}(); !errors.Is(err, server.ErrFull) {
		t.Errorf("a letter that is too large: %v", err)
	}
}
