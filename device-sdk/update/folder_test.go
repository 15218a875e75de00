package update_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/hawser-iot/hawser/device-sdk/update"
)

// TestFolder goes through the boot loader of a Folder: a trial that is confirmed, one that is reverted, one whose tries are used up.
func TestFolder(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	start := func(want string) *update.Folder {
		t.Helper()
		f, err := update.OpenFolder(dir, func() {})
		if err != nil {
			t.Fatal(err)
		}
		if slot, err := f.Start(); err != nil || slot != want {
			t.Fatalf("slot %s started, %v, want %s", slot, err, want)
		}
		return f
	}
	is := func(f *update.Folder, want update.Boot) {
		t.Helper()
		if got, err := f.Boot(ctx); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	f := start("A")
	is(f, update.Boot{Slot: "A", Confirmed: true})
	for name, text := range map[string]string{"default": "one", "radio": "old radio"} {
		if err := os.WriteFile(f.Path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stageText(t, f, "two!")
	must(t, f.Arm(ctx, update.Release{Images: []update.Image{{Module: "default"}}}))
	is(f, update.Boot{Slot: "A", Confirmed: true, Armed: true, TriesLeft: 3})

	f = start("B")
	is(f, update.Boot{Slot: "B", TriesLeft: 2})
	for name, want := range map[string]string{"default": "two!", "radio": "old radio"} {
		if b, err := os.ReadFile(f.Path(name)); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
	must(t, f.Confirm(ctx))
	is(start("B"), update.Boot{Slot: "B", Confirmed: true})

	must(t, f.Arm(ctx, update.Release{}))
	f = start("A")
	must(t, f.Revert(ctx))
	f = start("B")

	must(t, f.Arm(ctx, update.Release{}))
	for range 3 {
		start("A")
	}
	is(start("B"), update.Boot{Slot: "B", Confirmed: true})
}

func stageText(t *testing.T, f *update.Folder, text string) {
	t.Helper()
	must(t, f.Clear(t.Context()))
	tg, err := f.Target("default", int64(len(text)))
	must(t, err)
	_, err = tg.WriteAt([]byte(text), 0)
	must(t, errors.Join(err, tg.Sync(), tg.Close()))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFolderTargets(t *testing.T) {
	f, err := update.OpenFolder(t.TempDir(), func() {})
	must(t, err)
	if _, err := f.Boot(t.Context()); err == nil {
		t.Error("a folder that was not started tells what runs")
	}
	_, err = f.Start()
	must(t, err)
	if _, err := f.Base("default"); !errors.Is(err, update.ErrNoBase) {
		t.Errorf("no image: %v", err)
	}
	if _, err := f.Target("../default", 1); err == nil {
		t.Error("a module outside the slot was taken")
	}
	most := int64(0) // what was there stays until a release is armed
	for _, size := range []int64{100, 70_000, 10} {
		most = max(most, size)
		tg, err := f.Target("default", size)
		must(t, err)
		if _, err := tg.WriteAt([]byte{1}, 0); err != nil {
			t.Error(err)
		}
		if n, err := tg.ReadAt(make([]byte, most+1), 0); int64(n) != most {
			t.Errorf("%d bytes of %d, %v", n, most, err)
		}
		must(t, tg.Close())
	}
}
