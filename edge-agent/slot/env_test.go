package slot_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/edge-agent/slot"
)

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: make install-test-deps installs it", err)
	}
	return path
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(tool(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// TestUBootToolsAgree compares with U-Boot's own mkenvimage and with fw_printenv and fw_setenv.
func TestUBootToolsAgree(t *testing.T) {
	dir := t.TempDir()
	text, raw := filepath.Join(dir, "text"), filepath.Join(dir, "raw")
	must(t, os.WriteFile(text, []byte("BOOT_A_LEFT=3\nBOOT_ORDER=A B\nempty=\n"), 0o600))
	output(t, "mkenvimage", "-r", "-s", "0x2000", "-p", "0x00", "-o", raw, text)
	theirs, err := os.ReadFile(raw)
	must(t, err)
	v, flag, err := slot.ParseUBoot(theirs, true)
	must(t, err)
	ours, err := slot.EncodeUBoot(v, 0x2000, true, flag)
	must(t, err)
	if !bytes.Equal(ours, theirs) {
		t.Errorf("%v is written differently", v)
	}

	env := filepath.Join(dir, "env")
	ours, err = slot.EncodeUBoot(v, 0x2000, true, 252)
	must(t, err)
	must(t, os.WriteFile(env, append(ours, ours...), 0o600))
	config := filepath.Join(dir, "fw_env.config")
	must(t, os.WriteFile(config, []byte(env+" 0x0 0x2000\n"+env+" 0x2000 0x2000\n"), 0o600))
	u, err := slot.NewUBoot(slot.UBootConfig{
		Path: env, Copies: slot.Copies{Offsets: []int64{0, 0x2000}, Size: 0x2000}, Slots: names,
		Booted: func() (string, error) { return "A", nil },
	})
	must(t, err)
	for n := range 8 { // over the end of the flag's numbers
		if n%2 == 0 {
			must(t, u.Arm(t.Context(), "B", 2))
		} else {
			must(t, u.Revert(t.Context(), "B"))
		}
		want := map[int]string{0: "BOOT_ORDER=B A", 1: "BOOT_ORDER=A"}[n%2]
		if got := output(t, "fw_printenv", "-c", config, "BOOT_ORDER"); strings.TrimSpace(got) != want {
			t.Fatalf("after %d writes fw_printenv says %q, want %q", n+1, got, want)
		}
	}
	script := filepath.Join(dir, "script")
	must(t, os.WriteFile(script, []byte("BOOT_ORDER=B A\nBOOT_B_LEFT=2\n"), 0o600))
	output(t, "fw_setenv", "-c", config, "-s", script)
	s, err := u.Get(t.Context())
	must(t, err)
	if s.Next() != "B" || s.Left["B"] != 2 {
		t.Errorf("after fw_setenv: %+v", s)
	}
}

func TestGRUBToolsAgree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "grubenv")
	output(t, "grub-editenv", path, "create")
	output(t, "grub-editenv", path, "set", "ORDER=A B", "A_OK=1", "A_TRY=0", "B_OK=1", "B_TRY=0", `odd=back\slash`)
	g, err := slot.NewGRUB(slot.GRUBConfig{Path: path, Slots: names, Booted: func() (string, error) { return "A", nil }})
	must(t, err)
	must(t, g.Arm(t.Context(), "B", 1))
	got := output(t, "grub-editenv", path, "list")
	if !strings.Contains(got, "ORDER=B A\n") || !strings.Contains(got, "odd=back") {
		t.Errorf("grub-editenv lists\n%s", got)
	}
	raw, err := os.ReadFile(path)
	must(t, err)
	v, err := slot.ParseGRUB(raw)
	must(t, err)
	if v.Get("odd") != `back\slash` {
		t.Errorf("odd = %q", v.Get("odd"))
	}
}

func TestParseUBootRefuses(t *testing.T) {
	good, err := slot.EncodeUBoot(slot.Variables{{"a", "b"}}, 64, true, 7)
	must(t, err)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if v, _, err := slot.ParseUBoot(bad, true); err == nil && i != 4 { // the flag has no checksum
			t.Errorf("byte %d: %v", i, v)
		}
	}
	for _, b := range [][]byte{nil, good[:5], good[:63]} {
		if _, _, err := slot.ParseUBoot(b, true); err == nil {
			t.Errorf("%d bytes are taken", len(b))
		}
	}
	if _, err := slot.EncodeUBoot(slot.Variables{{"a", strings.Repeat("b", 64)}}, 64, true, 0); err == nil {
		t.Error("too much is written")
	}
}

func TestCommandLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cmdline")
	for text, want := range map[string]string{
		"root=/dev/x rauc.slot=A quiet\n": "A", "rauc.slot=A rauc.slot=B": "B", `rauc.slot="A"`: "A", "quiet": "", "xrauc.slot=A": "", "rauc.slot=": "",
	} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if got, err := slot.CommandLine(path, "rauc.slot")(); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func FuzzParseUBoot(f *testing.F) {
	good, _ := slot.EncodeUBoot(slot.Variables{{"BOOT_ORDER", "A B"}, {"x", ""}}, 64, true, 1)
	f.Add(good[5:], true)
	f.Add([]byte("a=b\x00\x00"), false)
	f.Fuzz(func(t *testing.T, data []byte, redundant bool) {
		if len(data) > 4096 {
			return
		}
		// A checksum that fits, so that what it guards is reached.
		_, _, _ = slot.ParseUBoot(data, redundant)
		head := 4
		if redundant {
			head = 5
		}
		b := append(make([]byte, head), data...)
		slot.SetChecksum(b, head)
		v, flag, err := slot.ParseUBoot(b, redundant)
		if err != nil {
			return
		}
		again, err := slot.EncodeUBoot(v, len(b), redundant, flag)
		if err != nil {
			t.Fatalf("%v can't be written: %v", v, err)
		}
		if w, _, err := slot.ParseUBoot(again, redundant); err != nil || !w.Equal(v) {
			t.Fatalf("%v came back as %v: %v", v, w, err)
		}
	})
}

func FuzzParseGRUB(f *testing.F) {
	f.Add([]byte("ORDER=A B\nA_OK=1\n"))
	f.Add([]byte("a=b\\\\c\\\nd\n# x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = slot.ParseGRUB(data)
		b := append([]byte("# GRUB Environment Block\n"), data...)
		if len(b) > 1024 {
			return
		}
		v, err := slot.ParseGRUB(append(b, bytes.Repeat([]byte{'#'}, 1024-len(b))...))
		if err != nil {
			return
		}
		again, err := slot.EncodeGRUB(v)
		if err != nil {
			return // names that only others write
		}
		if w, err := slot.ParseGRUB(again); err != nil || !w.Equal(v) {
			t.Fatalf("%v came back as %v: %v", v, w, err)
		}
	})
}

func FuzzParseHook(f *testing.F) {
	f.Add([]byte("booted A\norder A B\nleft A 3\nleft B 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = slot.ParseHook(b) })
}
