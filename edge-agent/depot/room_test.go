package depot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/protocol/ident"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write fills a sub-device's next image as an Updater does, and returns the error of the target.
func write(t *testing.T, r *room, id, slot string, b []byte) error {
	t.Helper()
	f, err := r.target(id, slot, "default", int64(len(b)))
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	return nil
}

func spaceError(t *testing.T, err error, text string) {
	t.Helper()
	if failure.Of(err) != failure.Space || !strings.Contains(err.Error(), text) {
		t.Fatalf("got %v, want one of class SPACE with %q", err, text)
	}
}

// TestRoom: images of sub-devices that are not being updated make room, the one used longest ago first; others never do.
func TestRoom(t *testing.T) {
	r := newRoom(t.TempDir(), 250, 2, slog.New(slog.DiscardHandler))
	for _, id := range []string{"a", "b", "c", "d"} {
		r.enrol(id, "A", false)
	}
	image := bytes.Repeat([]byte("x"), 100)
	for _, id := range []string{"a", "b"} {
		must(t, write(t, r, id, "B", image))
		r.pass(id)
	}
	spaceError(t, write(t, r, "c", "B", image), "budget")
	r.idle("c")
	r.settle("a", "B")
	r.settle("b", "B")
	r.idle("b")
	r.lodgers["a"].used = time.Now().Add(-time.Hour)
	r.idle("a")
	must(t, write(t, r, "c", "B", image)) // in the place of a's, whose base is gone then
	if _, err := r.base("a", "B", "default"); !errors.Is(err, update.ErrNoBase) {
		t.Errorf("the base of a: %v, want ErrNoBase", err)
	}
	if b, err := r.base("b", "B", "default"); err != nil || b.Size() != 100 {
		t.Errorf("the base of b: %v, %v", b, err)
	} else {
		must(t, b.Close())
	}
	if got := r.usedLocked(); got != 200 {
		t.Errorf("%d bytes are used, want 200", got)
	}
	// b is updated: its two images stay, whoever wants room.
	must(t, write(t, r, "b", "A", image[:50]))
	spaceError(t, write(t, r, "d", "B", image), "downloaded first")
	r.pass("c")
	spaceError(t, write(t, r, "d", "B", image), "budget")
}

// TestRoomAfterARestart: what was there before counts, of sub-devices that are gone too, and what was written longest ago goes first.
func TestRoomAfterARestart(t *testing.T) {
	dir, image := t.TempDir(), bytes.Repeat([]byte("x"), 100)
	r := newRoom(dir, 1000, 4, slog.New(slog.DiscardHandler))
	for i, id := range []string{"young", "gone", "old"} {
		r.enrol(id, "A", false)
		must(t, write(t, r, id, "A", image))
		at := time.Now().Add(-time.Duration(i+1) * time.Hour)
		must(t, os.Chtimes(r.path(id, "A", "default"), at, at))
	}
	r = newRoom(dir, 300, 4, slog.New(slog.DiscardHandler))
	for _, id := range []string{"young", "old", "new"} {
		r.enrol(id, "A", false)
	}
	left := func() (ids []string) {
		for _, id := range []string{"young", "gone", "old", "new"} {
			if sizeOf(r.path(id, "A", "default")) > 0 {
				ids = append(ids, id)
			}
		}
		return ids
	}
	must(t, write(t, r, "new", "A", image))
	if got := left(); !slices.Equal(got, []string{"young", "gone", "new"}) {
		t.Errorf("%q are left", got)
	}
	must(t, write(t, r, "new", "B", image))
	if got := left(); !slices.Equal(got, []string{"young", "new"}) || r.usedLocked() != 300 {
		t.Errorf("%q are left, %d bytes are used", got, r.usedLocked())
	}
}

// TestTwin: what one sub-device runs, the next one finds in its place.
func TestTwin(t *testing.T) {
	r := newRoom(t.TempDir(), 1000, 2, slog.New(slog.DiscardHandler))
	r.enrol("a", "A", false)
	r.enrol("b", "A", false)
	image := []byte("an image of a sensor's firmware")
	must(t, write(t, r, "a", "B", image))
	r.settle("a", "B")
	r.idle("a")
	f, err := r.target("b", "B", "default", int64(len(image)))
	must(t, err)
	got := make([]byte, len(image))
	_, err = f.ReadAt(got, 0)
	must(t, err)
	must(t, f.Close())
	if string(got) != string(image) {
		t.Errorf("the place of b begins with %q", got)
	}
}

// TestShelf: the states of a handover outlive the agent, and an update that was not taken leaves what runs as it is.
func TestShelf(t *testing.T) {
	dir := t.TempDir()
	r := newRoom(filepath.Join(dir, "images"), 1000, 2, slog.New(slog.DiscardHandler))
	open := func() *shelf {
		files, err := update.OpenFiles(filepath.Join(dir, "records"))
		must(t, err)
		s, err := openShelf(r, "a", files)
		must(t, err)
		return s
	}
	boot := func(s *shelf, want update.Boot) {
		t.Helper()
		got, err := s.Boot(t.Context())
		if err != nil || got != want {
			t.Fatalf("boot %+v, %v, want %+v", got, err, want)
		}
	}
	release := update.Release{Images: []update.Image{{Module: "default", Version: "2.0", Payload: manifest.Payload{Size: 10}}}}
	s := open()
	boot(s, update.Boot{Slot: "A", Confirmed: true})
	must(t, s.Arm(t.Context(), release))
	s = open()
	boot(s, update.Boot{Slot: "A", Confirmed: true, Armed: true})
	must(t, s.judge(false))
	s = open()
	boot(s, update.Boot{Slot: "A", Confirmed: true})
	must(t, s.Arm(t.Context(), release))
	must(t, s.judge(true))
	s = open()
	boot(s, update.Boot{Slot: "B"})
	must(t, s.Confirm(t.Context()))
	must(t, s.Confirm(t.Context()))
	s = open()
	boot(s, update.Boot{Slot: "B", Confirmed: true})
}

type delivered func(payload []byte)

func (f delivered) Deliver(_ ident.Device, _ string, payload []byte, _ byte) error {
	f(payload)
	return nil
}

// TestTampered: what was changed on the disk after it was verified is not handed over.
func TestTampered(t *testing.T) {
	image := []byte("verified")
	for _, tc := range []struct {
		name string
		do   func(path string) error
	}{
		{"changed", func(path string) error { return os.WriteFile(path, []byte("Verified"), 0o600) }},
		{"longer", func(path string) error { return os.WriteFile(path, append(image, 'x'), 0o600) }},
		{"gone", os.Remove},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newTestWard(t, func([]byte) { t.Error("it was offered") })
			f, err := w.shelf.Target("default", int64(len(image)))
			must(t, err)
			_, err = f.WriteAt(image, 0)
			must(t, err)
			must(t, f.Close())
			must(t, w.shelf.Arm(t.Context(), update.Release{Images: []update.Image{{Module: "default", Version: "2.0",
				Payload: manifest.Payload{Digest: sha256.Sum256(image), Size: uint64(len(image))}}}}))
			must(t, tc.do(w.depot.room.path(w.device.ClientID(), "B", "default")))
			if took, err := w.hand(t.Context()); took || err != nil {
				t.Errorf("took %v, %v", took, err)
			}
		})
	}
}

type noHub struct{}

func (noHub) OnUp(func(context.Context)) {}

func newTestWard(t *testing.T, down func(payload []byte), modules ...Module) *ward {
	t.Helper()
	if modules == nil {
		modules = []Module{{Name: "default"}}
	}
	p, err := New(Config{Dir: t.TempDir(), AllowUnsigned: true, Listen: "127.0.0.1:0", Models: []Model{{Product: "70ly1tvowt696r15", Modules: modules}}},
		nil, noHub{}, nil, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	p.Serve(delivered(down))
	d := ident.Device{Product: "70ly1tvowt696r15", SN: "meter-1"}
	must(t, p.take(d, "0123456789abcdef"))
	w := p.ward(d)
	w.attach(true)
	return w
}

// TestHear: what is the gateway's affair, and what is passed on.
func TestHear(t *testing.T) {
	w := newTestWard(t, func([]byte) {})
	for _, tc := range []struct {
		payload string
		want    bool
	}{
		{`{"Method":"report_version","Payload":{"Module":"default","Version":"1.0"}}`, true},
		{`{"Method":"request_firmware","Payload":{"Version":"1.0"}}`, true},
		{`{"Method":"report_fail","Payload":{"Module":"default","ErrCode":-4}}`, true},
		{"{\"Method\":\"report_fail\",\"Payload\":{\"Module\":\"\xff\x01\",\"ErrCode\":-4}}", true},
		{`{"Method":"report_version","Payload":{"Module":"radio","Version":"1.0"}}`, false},
		{`{"Method":"report_version","Payload":{"Module":"default","Version":"1.0","Manifest":true}}`, false},
		{`{"Method":"request_assignment","Payload":{"Deployment":"1"}}`, false},
		{`{`, false},
	} {
		if got := w.hear([]byte(tc.payload)); got != tc.want {
			t.Errorf("%q: %v, want %v", tc.payload, got, tc.want)
		}
	}
	if w.version["default"] != "1.0" {
		t.Errorf("the version is %q", w.version)
	}
}

// TestWeb: ranges are answered, and refusals have no body.
func TestWeb(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(path, []byte("0123456789"), 0o600))
	s := &web{log: slog.New(slog.DiscardHandler), slots: make(chan struct{}, 1), files: map[string]file{}, base: "http://gateway"}
	token, url := s.publish(path, lot{Module: "default", Version: "2.0"})
	if want := "http://gateway/default-2.0.bin?t=" + token; url != want {
		t.Errorf("the link is %s, want %s", url, want)
	}
	for _, tc := range []struct {
		name, method, query, ranges, body string
		status                            int
	}{
		{"whole", "GET", token, "", "0123456789", 200},
		{"range", "GET", token, "bytes=2-4", "234", 206},
		{"over the end", "GET", token, "bytes=8-4096", "89", 206},
		{"behind the end", "GET", token, "bytes=10-20", "", 416},
		{"another token", "GET", "x", "", "", 404},
		{"head", "HEAD", token, "", "", 200},
		{"post", "POST", token, "", "", 405},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := httptest.NewServer(s)
			defer srv.Close()
			req, err := http.NewRequestWithContext(t.Context(), tc.method, srv.URL+"/default-2.0.bin?t="+tc.query, nil)
			must(t, err)
			if tc.ranges != "" {
				req.Header.Set("Range", tc.ranges)
			}
			resp, err := srv.Client().Do(req)
			must(t, err)
			b, err := io.ReadAll(resp.Body)
			must(t, err)
			must(t, resp.Body.Close())
			if resp.StatusCode != tc.status || string(b) != tc.body || tc.status >= 400 && resp.ContentLength != 0 {
				t.Errorf("%s with %q, %d bytes; want %d with %q", resp.Status, b, resp.ContentLength, tc.status, tc.body)
			}
		})
	}
	s.withdraw(token)
	if len(s.files) != 0 {
		t.Error("a link is left")
	}
}
