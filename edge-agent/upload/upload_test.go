package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	sdk "github.com/hawser-iot/hawser/device-sdk/upload"
	"github.com/hawser-iot/hawser/edge-agent/state"
)

const secret = "0123456789abcdef"

// rig is a spool folder, a hub that is not real, and an Upload between them whose clock is the test's.
type rig struct {
	*Upload
	t      *testing.T
	hub    *devicetest.Hub
	spool  string
	store  *state.Store
	cfg    Config
	at     time.Time
	client *http.Client
}

func newRig(t *testing.T, rules ...Rule) *rig {
	t.Helper()
	r := &rig{t: t, hub: devicetest.New(t), spool: t.TempDir(), client: &http.Client{Transport: &http.Transport{}}, at: time.Now()}
	t.Cleanup(r.client.CloseIdleConnections)
	r.hub.SetUploadPartSize(64 << 10)
	id := r.hub.AddDevice(devicetest.Device{Secret: secret})
	data := t.TempDir()
	var err error
	if r.store, err = state.Open(filepath.Join(data, "state"), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range rules {
		rules[i].Glob = filepath.Join(r.spool, rules[i].Glob)
		if rules[i].Settle == 0 {
			rules[i].Settle = 10 * time.Second
		}
	}
	r.cfg = Config{Rules: rules, Dir: filepath.Join(data, "upload"), Every: time.Second, Hub: sdk.NewHTTP(r.hub.UploadURL(), id, secret, r.client), Client: r.client, State: r.store.Bucket("uploads"), RetryMin: time.Millisecond}
	r.open()
	return r
}

// open starts the agent anew, as after kill -9.
func (r *rig) open() {
	r.t.Helper()
	if err := r.cfg.Validate(); err != nil {
		r.t.Fatal(err)
	}
	u, err := New(r.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	u.now = func() time.Time { return r.at }
	r.Upload = u
}

func (r *rig) write(name string, data []byte) string {
	r.t.Helper()
	path := filepath.Join(r.spool, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o600), os.Chtimes(path, r.at, r.at)); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// rounds looks twice, an interval apart, a minute later.
func (r *rig) rounds() {
	r.t.Helper()
	r.at = r.at.Add(time.Minute)
	r.round(r.t.Context())
	r.round(r.t.Context())
}

func (r *rig) names() (list []string) {
	for _, f := range r.hub.Uploaded() {
		list = append(list, f.Name)
	}
	slices.Sort(list)
	return list
}

func there(path string) bool { _, err := os.Lstat(path); return err == nil }

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(b)
	return b
}

func TestRules(t *testing.T) {
	moved := t.TempDir()
	r := newRig(t, Rule{Glob: "cam/*/*.jpg", Class: "image", After: Delete}, Rule{Glob: "keep/*", Class: "log", After: Keep, MaxSize: 1000},
		Rule{Glob: "move/*.bin", After: Move, MoveTo: moved})
	deleted := r.write("cam/east/1.jpg", noise(200_000))
	kept := r.write("keep/a.log", []byte("log"))
	large := r.write("keep/b.log", noise(1001))
	r.write("move/m.bin", nil)
	if err := os.WriteFile(filepath.Join(moved, "m.bin"), []byte("an older one"), 0o600); err != nil {
		t.Fatal(err)
	}
	odd := r.write("keep/a\x1b[2J\u202eb.log", []byte("odd"))
	if err := os.Symlink("/etc/passwd", filepath.Join(r.spool, "keep/link")); err != nil {
		t.Fatal(err)
	}
	r.round(t.Context())
	r.round(t.Context())
	if n := r.names(); len(n) != 0 {
		t.Fatalf("sent before it settled: %v", n)
	}
	r.rounds()
	if got, want := r.names(), []string{"a.log", "a_[2J_b.log", "east/1.jpg", "m.bin"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	if there(deleted) || !there(kept) || !there(large) || !there(odd) || there(filepath.Join(r.spool, "move/m.bin")) || !there(filepath.Join(moved, "m.1.bin")) {
		t.Error("not what the rules want done after")
	}
	r.open() // what was sent is known after a restart
	r.rounds()
	r.write("keep/a.log", []byte("another"))
	r.rounds()
	if got := r.names(); len(got) != 5 || r.Stats().Files != 1 {
		t.Errorf("sent %q, %+v", got, r.Stats())
	}
	for _, name := range []string{"a.log", "b.log", filepath.Base(odd)} {
		if err := os.Remove(filepath.Join(r.spool, "keep", name)); err != nil {
			t.Fatal(err)
		}
	}
	r.rounds()
	if keys := r.cfg.State.Keys(); len(keys) != 0 {
		t.Errorf("kept of files that are gone: %q", keys)
	}
}

// TestLinkedFolder: a link to a folder, put into the spool by somebody who may write there, names nothing that is sent or deleted; nor does one
// that takes a folder's place behind the look.
func TestLinkedFolder(t *testing.T) {
	r := newRig(t, Rule{Glob: "cam/*/*.jpg", After: Delete}, Rule{Glob: "zip/*/*.jpg", After: Keep, Compress: true})
	outside := t.TempDir()
	secret := filepath.Join(outside, "1.jpg")
	if err := errors.Join(os.WriteFile(secret, []byte("secret"), 0o600), os.Chtimes(secret, r.at, r.at)); err != nil {
		t.Fatal(err)
	}
	r.write("cam/a/2.jpg", []byte("mine"))
	r.write("zip/a/3.jpg", []byte("mine"))
	for _, dir := range []string{"cam", "zip"} {
		if err := os.Symlink(outside, filepath.Join(r.spool, dir, "east")); err != nil {
			t.Fatal(err)
		}
	}
	r.rounds()
	if got := r.names(); !slices.Equal(got, []string{"a/2.jpg", "a/3.jpg.zst"}) || !there(secret) {
		t.Errorf("sent %q, the other one is there: %v", got, there(secret))
	}
	for _, rule := range r.cfg.Rules {
		f := found{path: filepath.Join(filepath.Dir(filepath.Dir(rule.Glob)), "east", "1.jpg"), rule: rule}
		if src, err := f.source(); err == nil {
			_ = src.Close()
			t.Errorf("%s was opened", f.path)
		}
		root, name, err := f.below()
		if err != nil {
			t.Fatal(err)
		}
		if removeBelow(root, name) == nil || moveBelow(root, name, filepath.Join(r.spool, "moved")) == nil || !there(secret) {
			t.Errorf("%s was removed", f.path)
		}
		if err := f.unchanged(); !errors.Is(err, sdk.ErrChanged) {
			t.Errorf("%s: %v", f.path, err)
		}
	}
}

// TestProgress: while a file goes its bytes are told.
func TestProgress(t *testing.T) {
	r := newRig(t, Rule{Glob: "*", After: Delete})
	r.write("f.dat", noise(200_000))
	var seen []Stats
	r.hub.DisturbUploads(func(http.ResponseWriter, *http.Request) bool {
		seen = append(seen, r.Stats())
		return false
	})
	r.rounds()
	if len(seen) != 4 || seen[0].Done != 0 || seen[0].Total != 200_000 || seen[3].Done != 3*64<<10 || !strings.HasSuffix(seen[3].Sending, "/f.dat") || seen[3].Waiting != 1 {
		t.Errorf("seen %+v", seen)
	}
	if s := r.Stats(); s.Sending != "" || s.Done != 0 || s.Total != 0 || s.Rate != 0 || s.Files != 1 || s.Bytes != 200_000 {
		t.Errorf("then %+v", s)
	}
}

func TestMeter(t *testing.T) {
	var m meter
	at := time.Now()
	for range 20 {
		m.add(1000, at)
		at = at.Add(500 * time.Millisecond)
	}
	if got := m.rate(at); got < 1900 || got > 2100 {
		t.Errorf("%d bytes a second, want 2000", got)
	}
	if got := m.rate(at.Add(time.Minute)); got != 0 {
		t.Errorf("a minute later %d", got)
	}
}

// TestCrash: killed while a file goes, and killed between the hub's word and what is done then.
func TestCrash(t *testing.T) {
	r := newRig(t, Rule{Glob: "*", After: Delete, Compress: true})
	data := append(noise(400_000), bytes.Repeat([]byte("again and again "), 50_000)...)
	path := r.write("f.dat", data)
	r.at = r.at.Add(time.Minute)
	var n atomic.Int64
	kill := errors.New("killed")
	for range 3 {
		r.open()
		ctx, cancel := context.WithCancelCause(t.Context())
		r.hub.DisturbUploads(func(http.ResponseWriter, *http.Request) bool {
			if n.Add(1)%2 == 0 {
				cancel(kill)
			}
			return false
		})
		r.round(ctx)
		r.round(ctx)
		cancel(nil)
	}
	r.hub.DisturbUploads(nil)
	r.open()
	f := found{path: path, rule: r.cfg.Rules[0]}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f.stamp, f.size = stamp{info.Size(), info.ModTime().UnixNano()}, info.Size()
	if _, err := r.transfer(t.Context(), f); err != nil { // and killed before the record
		t.Fatal(err)
	}
	sent := r.hub.UploadBytes()
	r.open()
	r.rounds()
	if there(path) || r.hub.UploadBytes() != sent || len(r.hub.Uploaded()) != 1 {
		t.Errorf("after the crash: %d bytes more, %d files", r.hub.UploadBytes()-sent, len(r.hub.Uploaded()))
	}
	got := r.hub.Uploaded()[0]
	z, err := zstd.NewReader(bytes.NewReader(got.Data))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if b, err := io.ReadAll(z); err != nil || !bytes.Equal(b, data) || got.Name != "f.dat.zst" || len(got.Data) > len(data)*6/10 {
		t.Errorf("%s of %d bytes, %v", got.Name, len(got.Data), err)
	}
	if again := sent - int64(len(got.Data)); again > 3*64<<10 {
		t.Errorf("%d bytes were sent again", again)
	}
}

// TestChanged: a file that changes while it is sent is sent anew when it has settled.
func TestChanged(t *testing.T) {
	r := newRig(t, Rule{Glob: "*", After: Delete})
	data := noise(300_000)
	path := r.write("f.dat", data)
	var n atomic.Int64
	r.hub.DisturbUploads(func(http.ResponseWriter, *http.Request) bool {
		if n.Add(1) == 2 {
			r.write("f.dat", data[:250_000])
		}
		return false
	})
	r.rounds()
	if len(r.hub.Uploaded()) != 0 || !there(path) {
		t.Fatal("a file that had changed arrived")
	}
	r.rounds()
	if list := r.hub.Uploaded(); len(list) != 1 || !bytes.Equal(list[0].Data, data[:250_000]) || there(path) {
		t.Errorf("%d files", len(list))
	}
}

// TestLimits: a quota of the day holds over restarts, and a window is waited for.
func TestLimits(t *testing.T) {
	r := newRig(t, Rule{Glob: "*", After: Delete})
	r.at = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	r.cfg.Day = 150_000
	r.open()
	r.write("a", noise(100_000))
	r.write("b", noise(100_000))
	r.rounds()
	r.open()
	r.rounds()
	if got := r.hub.UploadBytes(); got > 150_000 || len(r.hub.Uploaded()) != 1 {
		t.Errorf("%d bytes, %d files", got, len(r.hub.Uploaded()))
	}
	r.at = r.at.Add(24 * time.Hour)
	r.rounds()
	if len(r.hub.Uploaded()) != 2 {
		t.Errorf("the next day: %d files", len(r.hub.Uploaded()))
	}
	var err error
	if r.cfg.Window, err = ParseWindow("22:00-06:00"); err != nil {
		t.Fatal(err)
	}
	r.open()
	r.write("c", noise(1000))
	r.rounds()
	if len(r.hub.Uploaded()) != 2 {
		t.Error("sent outside of the window")
	}
	r.at = r.at.Add(11 * time.Hour)
	r.rounds()
	if len(r.hub.Uploaded()) != 3 {
		t.Error("not sent within the window")
	}
}

// TestTurn: nothing goes while others wait, and no faster than it may.
func TestTurn(t *testing.T) {
	r := newRig(t, Rule{Glob: "*", After: Delete})
	var busy atomic.Bool
	var asked atomic.Int64
	busy.Store(true)
	r.cfg.Rate = 400_000
	r.cfg.Busy = func() bool {
		if asked.Add(1) == 3 {
			if r.hub.UploadBytes() != 0 {
				t.Error("bytes went while others waited")
			}
			busy.Store(false)
		}
		return busy.Load()
	}
	r.open()
	r.write("f", noise(200_000))
	began := time.Now()
	r.rounds()
	if took := time.Since(began); took < 400*time.Millisecond || len(r.hub.Uploaded()) != 1 {
		t.Errorf("%d files in %v", len(r.hub.Uploaded()), took)
	}
}

// TestRefused: what the hub does not want is left alone for an hour and holds nothing up.
func TestRefused(t *testing.T) {
	r := newRig(t, Rule{Glob: "*", After: Delete})
	r.write("a", noise(10))
	hub := r.cfg.Hub
	r.cfg.Hub = sdk.NewHTTP(r.hub.UploadURL(), r.hub.AddDevice(devicetest.Device{Secret: secret}), "not the secret..", r.client)
	r.open()
	r.rounds()
	if s := r.Stats(); s.Failed != 1 {
		t.Errorf("stats %+v", s)
	}
	r.cfg.Hub = hub
	later := r.later
	r.open()
	r.later = later
	r.rounds()
	if len(r.hub.Uploaded()) != 0 {
		t.Error("tried again at once")
	}
	r.at = r.at.Add(time.Hour)
	r.rounds()
	if len(r.hub.Uploaded()) != 1 {
		t.Error("not tried again")
	}
}

func TestValidate(t *testing.T) {
	good := Config{Every: time.Second, Rules: []Rule{{Glob: "/a/*", Settle: time.Second, After: Keep}}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"glob": func(c *Config) { c.Rules[0].Glob = "/a/[" }, "relative": func(c *Config) { c.Rules[0].Glob = "a/*" },
		"after": func(c *Config) { c.Rules[0].After = "burn" }, "move_to": func(c *Config) { c.Rules[0].MoveTo = "/b" },
		"move": func(c *Config) { c.Rules[0].After = Move }, "settle": func(c *Config) { c.Rules[0].Settle = 0 },
		"max_size": func(c *Config) { c.Rules[0].MaxSize = -1 }, "every": func(c *Config) { c.Every = 0 },
		"rate": func(c *Config) { c.Rate = 5 }, "day": func(c *Config) { c.Day = -1 },
	} {
		c := good
		c.Rules = slices.Clone(good.Rules)
		change(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestWindow(t *testing.T) {
	for _, s := range []string{"x", "1:00-2:00", "24:00-01:00", "00:60-01:00", "06:00-06:00", "06:00-07:00 "} {
		if _, err := ParseWindow(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
	w, err := ParseWindow("22:30-06:00")
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{"22:29": "", "22:30": "06:00", "23:59": "06:00", "00:00": "06:00", "05:59": "06:00", "06:00": ""} {
		now, _ := time.Parse("2006-01-02 15:04", "2026-03-01 "+at)
		end, open := w.ends(now)
		if open != (want != "") || open && (end.Format("15:04") != want || end.Sub(now) > 8*time.Hour || !end.After(now)) {
			t.Errorf("%s: %v, %v", at, end, open)
		}
	}
}

func FuzzWindow(f *testing.F) {
	f.Add("22:00-06:00")
	f.Fuzz(func(t *testing.T, s string) {
		w, err := ParseWindow(s)
		if err != nil || s == "" {
			return
		}
		if w.From < 0 || w.From >= 24*time.Hour || w.To < 0 || w.To >= 24*time.Hour {
			t.Errorf("%q is %+v", s, w)
		}
	})
}

// FuzzName: whatever a file is called, its name is one that a hub takes.
func FuzzName(f *testing.F) {
	f.Add("a\x00b")
	f.Add(strings.Repeat("ä", 400))
	f.Fuzz(func(t *testing.T, base string) {
		if base == "" || strings.ContainsRune(base, '/') {
			return
		}
		file := found{path: "/spool/" + base, rule: Rule{Glob: "/spool/*"}}
		name := file.name()
		if len(name) > maxName || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' }) {
			t.Errorf("%q becomes %q", base, fmt.Sprint(name))
		}
	})
}

// FuzzGlob: whatever pattern is taken, the folder that its files must lie in is absolute, no pattern, and on the way to all of them.
func FuzzGlob(f *testing.F) {
	f.Add("/a/*/b?.log")
	f.Add(`/a/\*/[x/../*`)
	f.Fuzz(func(t *testing.T, glob string) {
		c := Config{Every: time.Second, Rules: []Rule{{Glob: glob, Settle: time.Second, After: Keep}}}
		if c.Validate() != nil {
			return
		}
		root := c.Rules[0].Root()
		if !filepath.IsAbs(root) || strings.ContainsAny(root, `*?[\`) || !strings.HasPrefix(filepath.Clean(filepath.Dir(glob)), root) {
			t.Errorf("%q has the root %q", glob, root)
		}
	})
}
