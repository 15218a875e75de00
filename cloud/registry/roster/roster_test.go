package roster

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/hawser-iot/hawser/protocol/ident"
)

type member struct {
	dev ident.Device
	n   int
}

func (m *member) Of() ident.Device { return m.dev }

// TestAsAMap does the same to a Roster and a map, with hashes that are all different, some the same, and all the same.
func TestAsAMap(t *testing.T) {
	for name, hash := range map[string]func(ident.Device) uint64{
		"own":  Hash,
		"few":  func(d ident.Device) uint64 { return Hash(d) % 4 },
		"same": func(ident.Device) uint64 { return 7 },
	} {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 2))
			var got Roster[*member]
			want := map[ident.Device]*member{}
			for i := range 5000 {
				dev := ident.Device{Product: "p" + strconv.Itoa(rnd.IntN(3)), SN: "d" + strconv.Itoa(rnd.IntN(10))}
				switch m := want[dev]; rnd.IntN(4) {
				case 0:
					if m != nil {
						got.Remove(hash(dev), m)
						delete(want, dev)
					}
				case 1: // of one that is not its device's member nothing is taken out
					got.Remove(hash(dev), &member{dev: dev})
				default:
					m = &member{dev, i}
					got.Put(hash(dev), m)
					want[dev] = m
				}
				check(t, &got, want, hash, dev)
			}
		})
	}
}

func check(t *testing.T, got *Roster[*member], want map[ident.Device]*member, hash func(ident.Device) uint64, dev ident.Device) {
	t.Helper()
	if m, ok := got.Get(hash(dev), dev); m != want[dev] || ok != (want[dev] != nil) {
		t.Fatalf("Get(%v) = %v, %v, want %v", dev, m, ok, want[dev])
	}
	if got.Len() != len(want) {
		t.Fatalf("Len() = %d, want %d", got.Len(), len(want))
	}
	seen := 0
	for m := range got.All() {
		if seen++; want[m.dev] != m {
			t.Fatalf("All() has %v, want %v", m, want[m.dev])
		}
	}
	if seen != len(want) {
		t.Fatalf("All() has %d members, want %d", seen, len(want))
	}
}
