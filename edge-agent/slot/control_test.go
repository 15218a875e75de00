package slot_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/edge-agent/slot"
	"github.com/hawser-iot/hawser/edge-agent/slot/slottest"
	"github.com/hawser-iot/hawser/firmware/imagetest"
)

var names = slot.Names{"A", "B"}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// board is a device with a U-Boot whose environment is on a disk.
type board struct {
	disk   *imagetest.Disk
	copies slot.Copies
	booted string
}

func newBoard(t *testing.T, copies slot.Copies, text string) *board {
	t.Helper()
	b := &board{disk: imagetest.NewDisk(64 << 10), copies: copies, booted: "A"}
	var v slot.Variables
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		v = v.Set(name, value)
	}
	for _, off := range copies.Offsets {
		raw, err := slot.EncodeUBoot(v, copies.Size, len(copies.Offsets) == 2, 1)
		must(t, err)
		_, err = b.disk.WriteAt(raw, off)
		must(t, err)
	}
	must(t, b.disk.Sync())
	return b
}

func (b *board) control(t *testing.T) *slot.UBoot {
	t.Helper()
	u, err := slot.NewUBoot(slot.UBootConfig{
		Copies: b.copies, Slots: names, Booted: func() (string, error) { return b.booted, nil },
		Open: func(string) (slot.Place, error) { return b.disk, nil },
	})
	must(t, err)
	return u
}

// variables are of the copy that U-Boot takes.
func (b *board) variables(t *testing.T) (v slot.Variables, no int, flag byte) {
	t.Helper()
	found := false
	for i, off := range b.copies.Offsets {
		raw := make([]byte, b.copies.Size)
		_, err := b.disk.ReadAt(raw, off)
		must(t, err)
		x, f, err := slot.ParseUBoot(raw, len(b.copies.Offsets) == 2)
		if err == nil && (!found || int8(f-flag) > 0) {
			v, no, flag, found = x, i, f, true
		}
	}
	if !found {
		t.Fatal("no copy of the environment is whole")
	}
	return v, no, flag
}

// boot does what the boot script does.
func (b *board) boot(t *testing.T) string {
	t.Helper()
	v, no, flag := b.variables(t)
	for _, name := range strings.Fields(v.Get("BOOT_ORDER")) {
		left, err := strconv.ParseInt(v.Get("BOOT_"+name+"_LEFT"), 16, 64)
		must(t, err)
		if left == 0 {
			continue
		}
		v = v.Set("BOOT_"+name+"_LEFT", strconv.FormatInt(left-1, 16))
		redundant := len(b.copies.Offsets) == 2
		if redundant && !b.copies.Boolean {
			no, flag = 1-no, flag+1
		}
		raw, err := slot.EncodeUBoot(v, b.copies.Size, redundant, flag)
		must(t, err)
		_, err = b.disk.WriteAt(raw, b.copies.Offsets[no])
		must(t, err)
		must(t, b.disk.Sync())
		b.booted = name
		return name
	}
	t.Fatalf("nothing starts: %v", v)
	return ""
}

const freshUBoot = "bootcmd=run hawser\nBOOT_ORDER=A B\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3\n"

func TestUBoot(t *testing.T) {
	for name, copies := range map[string]slot.Copies{
		"redundant": {Offsets: []int64{0x1000, 0x3000}, Size: 0x2000},
		"boolean":   {Offsets: []int64{0, 0x4000}, Size: 0x2000, Boolean: true},
		"one copy":  {Offsets: []int64{0}, Size: 0x4000},
	} {
		t.Run(name, func(t *testing.T) {
			slottest.Run(t, func(t *testing.T) slottest.Device {
				b := newBoard(t, copies, freshUBoot)
				return slottest.Device{Control: b.control(t), Boot: b.boot, Tries: 3}
			})
		})
	}
}

func TestUBootLeavesOtherVariablesAlone(t *testing.T) {
	b := newBoard(t, slot.Copies{Offsets: []int64{0, 0x2000}, Size: 0x2000}, freshUBoot+"ethaddr=02:00:00:00:00:01\n")
	must(t, b.control(t).Arm(context.Background(), "B", 2))
	v, _, _ := b.variables(t)
	if v.Get("ethaddr") != "02:00:00:00:00:01" || v.Get("bootcmd") != "run hawser" || v.Get("BOOT_B_LEFT") != "2" || v.Get("BOOT_ORDER") != "B A" {
		t.Errorf("variables %v", v)
	}
}

// TestUBootPowerCuts cuts the power at every write of every call: the environment is the one before or the one after it.
func TestUBootPowerCuts(t *testing.T) {
	ctx := context.Background()
	for name, copies := range map[string]slot.Copies{
		"numbers": {Offsets: []int64{0x1000, 0x3000}, Size: 0x2000},
		"boolean": {Offsets: []int64{0x1000, 0x3000}, Size: 0x2000, Boolean: true},
	} {
		for what, call := range map[string]func(slot.Control) error{
			"arm":     func(c slot.Control) error { return c.Arm(ctx, "B", 2) },
			"confirm": func(c slot.Control) error { return c.Confirm(ctx, "B") },
			"revert":  func(c slot.Control) error { return c.Revert(ctx, "A") },
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				for cut := 1; ; cut++ {
					b := newBoard(t, copies, freshUBoot)
					before, _, _ := b.variables(t)
					b.disk.CutAt = b.disk.Ops() + cut
					err := call(b.control(t))
					if err == nil {
						if cut < 3 {
							t.Fatalf("only %d writes", cut-1)
						}
						return
					}
					if !errors.Is(err, imagetest.ErrPowerCut) {
						t.Fatal(err)
					}
					b.disk.Restart()
					now, _, _ := b.variables(t)
					must(t, call(b.control(t)))
					after, _, _ := b.variables(t)
					if !now.Equal(before) && !now.Equal(after) {
						t.Fatalf("cut at %d: %v is neither %v nor %v", cut, now, before, after)
					}
				}
			})
		}
	}
}

func TestUBootWithoutEnvironment(t *testing.T) {
	b := newBoard(t, slot.Copies{Offsets: []int64{0, 0x2000}, Size: 0x2000}, freshUBoot)
	for _, off := range b.copies.Offsets {
		_, err := b.disk.WriteAt([]byte{0xff}, off)
		must(t, err)
	}
	before := b.disk.Bytes()
	for _, err := range []error{b.control(t).Arm(context.Background(), "B", 1), b.control(t).Confirm(context.Background(), "A")} {
		if !errors.Is(err, slot.ErrNoEnvironment) {
			t.Errorf("error %v", err)
		}
	}
	if string(before) != string(b.disk.Bytes()) {
		t.Error("something was written")
	}
}

// grubBoot does what GRUB's configuration does.
func grubBoot(t *testing.T, path string, running *string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	must(t, err)
	v, err := slot.ParseGRUB(raw)
	must(t, err)
	for _, name := range strings.Fields(v.Get("ORDER")) {
		if v.Get(name+"_OK") != "1" || v.Get(name+"_TRY") != "0" {
			continue
		}
		raw, err := slot.EncodeGRUB(v.Set(name+"_TRY", "1"))
		must(t, err)
		must(t, os.WriteFile(path, raw, 0o600)) // in place, as GRUB does
		*running = name
		return name
	}
	t.Fatalf("nothing starts: %v", v)
	return ""
}

func newGRUB(t *testing.T) (*slot.GRUB, string, *string) {
	t.Helper()
	path, running := filepath.Join(t.TempDir(), "grubenv"), "A"
	raw, err := slot.EncodeGRUB(slot.Variables{{"saved_entry", "x"}, {"ORDER", "A B"}, {"A_OK", "1"}, {"A_TRY", "0"}, {"B_OK", "1"}, {"B_TRY", "0"}})
	must(t, err)
	must(t, os.WriteFile(path, raw, 0o600))
	g, err := slot.NewGRUB(slot.GRUBConfig{Path: path, Slots: names, Booted: func() (string, error) { return running, nil }})
	must(t, err)
	return g, path, &running
}

func TestGRUB(t *testing.T) {
	slottest.Run(t, func(t *testing.T) slottest.Device {
		g, path, running := newGRUB(t)
		return slottest.Device{Control: g, Tries: 1, Boot: func(t *testing.T) string { return grubBoot(t, path, running) }}
	})
}

func TestLinks(t *testing.T) {
	t.Run("started", func(t *testing.T) {
		slottest.Run(t, func(t *testing.T) slottest.Device {
			running := "A"
			l, err := slot.NewLinks(slot.LinksConfig{Dir: t.TempDir(), Slots: names, Booted: func() (string, error) { return running, nil }})
			must(t, err)
			return slottest.Device{Control: l, Tries: 3, Boot: func(t *testing.T) string {
				t.Helper()
				running, err = l.Start(context.Background())
				must(t, err)
				return running
			}}
		})
	})
	t.Run("used", func(t *testing.T) {
		slottest.Run(t, func(t *testing.T) slottest.Device {
			l, err := slot.NewLinks(slot.LinksConfig{Dir: t.TempDir(), Slots: names})
			must(t, err)
			return slottest.Device{Control: l, AtOnce: true, Uncounted: true, Boot: func(t *testing.T) string {
				t.Helper()
				s, err := l.Get(context.Background())
				must(t, err)
				return s.Booted
			}}
		})
	})
}

// hookScript is a hook over a folder with the files booted, order, left-A and left-B.
const hookScript = `#!/bin/sh
set -eu
cd "$1"; shift
others() { for s in $(cat order); do [ "$s" = "$1" ] || printf ' %s' "$s"; done; }
case "$1" in
get) echo "booted $(cat booted)"; echo "order $(cat order)"; for s in A B; do echo "left $s $(cat left-$s)"; done ;;
arm) echo "$2$(others "$2")" > order; echo "$3" > left-$2; echo 3 > left-$(cat booted) ;;
confirm) echo "$2$(others "$2")" > order; echo 3 > left-$2 ;;
revert) echo "$(others "$2")" > order; echo 0 > left-$2 ;;
*) echo "what is $1?" >&2; exit 1 ;;
esac
`

func TestHook(t *testing.T) {
	slottest.Run(t, func(t *testing.T) slottest.Device {
		dir, script := t.TempDir(), filepath.Join(t.TempDir(), "hook")
		for name, text := range map[string]string{"booted": "A", "order": "A B", "left-A": "3", "left-B": "3"} {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		must(t, os.WriteFile(script, []byte(hookScript), 0o700))
		h, err := slot.NewHook(slot.HookConfig{Command: []string{"/bin/sh", script, dir}, Slots: names})
		must(t, err)
		return slottest.Device{Control: h, Tries: 3, Boot: func(t *testing.T) string {
			t.Helper()
			s, err := h.Get(context.Background())
			must(t, err)
			name := s.Next()
			must(t, os.WriteFile(filepath.Join(dir, "left-"+name), fmt.Append(nil, s.Left[name]-1), 0o600))
			must(t, os.WriteFile(filepath.Join(dir, "booted"), []byte(name), 0o600))
			return name
		}}
	})
}

func TestHookThatFails(t *testing.T) {
	for name, script := range map[string]string{
		"exit":      "echo out of paper >&2; exit 3",
		"rubbish":   "echo hello",
		"no booted": "echo order A B",
		"other":     "echo booted C; echo order A B",
		"number":    "echo booted A; echo order A B; echo left A many",
		"endless":   "echo booted A; yes order",
	} {
		t.Run(name, func(t *testing.T) {
			h, err := slot.NewHook(slot.HookConfig{Command: []string{"/bin/sh", "-c", script}, Slots: names, Timeout: 200e6})
			must(t, err)
			if _, err := h.Get(context.Background()); err == nil {
				t.Error("taken")
			} else if name == "exit" && !strings.Contains(err.Error(), "out of paper") {
				t.Error(err)
			}
		})
	}
}
