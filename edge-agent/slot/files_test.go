package slot_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/hawser-iot/hawser/edge-agent/slot"
)

var errCut = errors.New("cut")

// cutAt returns a function that fails from its nth call on.
func cutAt(n int) func(string) error {
	return func(string) error {
		if n--; n < 1 {
			return errCut
		}
		return nil
	}
}

// TestLinksCutAtEveryChange ends Arm, Confirm and Revert before each change of a name: what starts next is the old slot or the new one, and the call
// can be made again.
func TestLinksCutAtEveryChange(t *testing.T) {
	ctx := context.Background()
	for what, call := range map[string]func(*slot.Links) error{
		"arm":     func(l *slot.Links) error { return l.Arm(ctx, "B", 2) },
		"confirm": func(l *slot.Links) error { return l.Confirm(ctx, "B") },
		"revert":  func(l *slot.Links) error { return l.Revert(ctx, "B") },
		"start":   func(l *slot.Links) error { _, err := l.Start(ctx); return err },
	} {
		t.Run(what, func(t *testing.T) {
			for cut := 1; ; cut++ {
				running := "A"
				l, err := slot.NewLinks(slot.LinksConfig{Dir: t.TempDir(), Slots: names, Booted: func() (string, error) { return running, nil }})
				must(t, err)
				if what != "arm" {
					must(t, l.Arm(ctx, "B", 1))
					running, err = l.Start(ctx)
					must(t, err)
				}
				before, err := l.Get(ctx)
				must(t, err)
				l.Before(cutAt(cut))
				if err = call(l); err == nil {
					return
				}
				if !errors.Is(err, errCut) {
					t.Fatal(err)
				}
				l.Before(nil)
				now, err := l.Get(ctx)
				must(t, err)
				must(t, call(l))
				after, err := l.Get(ctx)
				must(t, err)
				if n := now.Next(); n == "" || n != before.Next() && n != after.Next() {
					t.Fatalf("cut %d: %+v is between %+v and %+v", cut, now, before, after)
				}
			}
		})
	}
}

func TestGRUBCutAtEveryChange(t *testing.T) {
	for cut := 1; ; cut++ {
		g, path, running := newGRUB(t)
		g.Before(cutAt(cut))
		err := g.Arm(t.Context(), "B", 1)
		if err == nil {
			if cut < 3 {
				t.Fatal("nothing was written")
			}
			return
		}
		g.Before(nil)
		s, err := g.Get(t.Context())
		must(t, err)
		if got := grubBoot(t, path, running); got != s.Next() {
			t.Fatalf("cut %d at %s: %s was started, want %s", cut, filepath.Base(path), got, s.Next())
		}
	}
}
