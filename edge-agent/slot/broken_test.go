package slot_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hawser-iot/hawser/edge-agent/slot"
)

// TestLinksCountTries: however many tries a slot was armed with, the one before comes back behind them.
func TestLinksCountTries(t *testing.T) {
	ctx := context.Background()
	for n := 1; n <= slot.MaxTries; n++ {
		running := "A"
		l, err := slot.NewLinks(slot.LinksConfig{Dir: t.TempDir(), Slots: names, Booted: func() (string, error) { return running, nil }})
		must(t, err)
		must(t, l.Arm(ctx, "B", n))
		for i := range n + 1 {
			want := "B"
			if i == n {
				want = "A"
			}
			if running, err = l.Start(ctx); err != nil || running != want {
				t.Fatalf("start %d of a slot with %d tries: %s, %v, want %s", i+1, n, running, err, want)
			}
		}
	}
}

// TestLinksWithDamagedTries: what can't be counted is not tried on, and something starts.
func TestLinksWithDamagedTries(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	l, err := slot.NewLinks(slot.LinksConfig{Dir: dir, Slots: names, Booted: func() (string, error) { return "A", nil }})
	must(t, err)
	damage := func() { must(t, os.WriteFile(filepath.Join(dir, "tries"), []byte{0xff}, 0o600)) }
	damage()
	if name, err := l.Start(ctx); name != "A" || err != nil {
		t.Errorf("with one slot: %s, %v", name, err)
	}
	must(t, os.Remove(filepath.Join(dir, "tries")))
	must(t, l.Arm(ctx, "B", 3))
	damage()
	for range 2 {
		if name, err := l.Start(ctx); name != "A" || err != nil {
			t.Errorf("on trial: %s, %v", name, err)
		}
	}
	if s, err := l.Get(ctx); err != nil || s.Next() != "A" {
		t.Errorf("afterwards: %+v, %v", s, err)
	}
}

// badSector is a disk of which one place can't be read.
type badSector struct {
	slot.Place
	at int64
}

var errSector = errors.New("uncorrectable")

func (p badSector) ReadAt(b []byte, off int64) (int, error) {
	if off == p.at {
		return 0, errSector
	}
	return p.Place.ReadAt(b, off)
}

// TestUBootCopyThatCantBeRead: the other one counts, and the bad one is written next.
func TestUBootCopyThatCantBeRead(t *testing.T) {
	ctx := context.Background()
	for _, bad := range []int64{0x1000, 0x3000} {
		b := newBoard(t, slot.Copies{Offsets: []int64{0x1000, 0x3000}, Size: 0x2000}, freshUBoot)
		u, err := slot.NewUBoot(slot.UBootConfig{
			Copies: b.copies, Slots: names, Booted: func() (string, error) { return "A", nil },
			Open: func(string) (slot.Place, error) { return badSector{b.disk, bad}, nil },
		})
		must(t, err)
		if s, err := u.Get(ctx); err != nil || s.Next() != "A" {
			t.Fatalf("%+v, %v", s, err)
		}
		must(t, u.Arm(ctx, "B", 2))
		if v, _, _ := b.variables(t); v.Get("BOOT_ORDER") != "B A" {
			t.Errorf("variables %v", v)
		}
	}
	b := newBoard(t, slot.Copies{Offsets: []int64{0x1000}, Size: 0x2000}, freshUBoot)
	u, err := slot.NewUBoot(slot.UBootConfig{Copies: b.copies, Slots: names, Booted: func() (string, error) { return "A", nil },
		Open: func(string) (slot.Place, error) { return badSector{b.disk, 0x1000}, nil }})
	must(t, err)
	if _, err := u.Get(ctx); !errors.Is(err, slot.ErrNoEnvironment) || !errors.Is(err, errSector) {
		t.Errorf("the only copy: %v", err)
	}
}

// flash is a place that is erased by blocks.
type flash struct {
	slot.Place
	block int64
}

func (flash) Boolean() bool  { return false }
func (f flash) Block() int64 { return f.block }

func (f flash) Erase(off, n int64) error {
	_, err := f.WriteAt(make([]byte, (n+f.block-1)/f.block*f.block), off/f.block*f.block)
	return err
}

// TestUBootCopiesInOneBlock: the copy that counts is not erased with the other one.
func TestUBootCopiesInOneBlock(t *testing.T) {
	for block, ok := range map[int64]bool{0x2000: true, 0x1000: true, 0x4000: false, 0x8000: false} {
		b := newBoard(t, slot.Copies{Offsets: []int64{0, 0x2000}, Size: 0x2000}, freshUBoot)
		u, err := slot.NewUBoot(slot.UBootConfig{Copies: b.copies, Slots: names, Booted: func() (string, error) { return "A", nil },
			Open: func(string) (slot.Place, error) { return flash{b.disk, block}, nil }})
		must(t, err)
		for range 2 { // one copy, then the other
			if err := u.Arm(context.Background(), "B", 2); ok != (err == nil) {
				t.Errorf("blocks of %d: %v", block, err)
			}
			if err := u.Confirm(context.Background(), "A"); ok && err != nil {
				t.Errorf("blocks of %d: %v", block, err)
			}
			b.variables(t) // one copy is whole
		}
	}
}

// TestGRUBBehindALink: the block that GRUB reads is changed, and the link to it stays one.
func TestGRUBBehindALink(t *testing.T) {
	_, path, running := newGRUB(t)
	link := filepath.Join(t.TempDir(), "grubenv")
	must(t, os.Symlink(path, link))
	g, err := slot.NewGRUB(slot.GRUBConfig{Path: link, Slots: names, Booted: func() (string, error) { return *running, nil }})
	must(t, err)
	must(t, g.Arm(context.Background(), "B", 1))
	if to, err := os.Readlink(link); err != nil || to != path {
		t.Errorf("the link points to %q, %v", to, err)
	}
	if got := grubBoot(t, path, running); got != "B" {
		t.Errorf("%s was started", got)
	}
}
