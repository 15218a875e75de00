package downlink

import (
	"errors"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// nobody is a directory without devices that counts who was looked for.
type nobody struct{ asked int }

func (n *nobody) Find(ident.Device) (Target, bool) { n.asked++; return nil, false }

// TestMessageOfANodeThatHasGivenUp: a node that hung takes no message that the sender has queued meanwhile, and any other.
func TestMessageOfANodeThatHasGivenUp(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name  string
		until time.Time
		want  int
	}{
		{"in time", now.Add(time.Second), 1},
		{"given up", now, 0},
		{"of a node that says nothing of it", time.Time{}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			here := &nobody{}
			d := New(DefaultConfig(), Deps{Directory: here})
			d.now = func() time.Time { return now }
			w := &wireMessage{Product: "p", SN: "d", Topic: "/p/d/set", QoS: 1, Queue: true}
			if !tt.until.IsZero() {
				w.Until = tt.until.UnixMilli()
			}
			if _, err := d.deliverFrom(w); !errors.Is(err, ErrOffline) {
				t.Errorf("got %v, want ErrOffline", err)
			}
			if here.asked != tt.want {
				t.Errorf("the device was looked for %d times, want %d", here.asked, tt.want)
			}
		})
	}
}
