package update_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/imagetest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// cutting serves a release over connections that break after n bytes each.
func cutting(rel *devicetest.Release, n int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer func() {
			if recover() != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		rel.ServeHTTP(&cut{w, n}, req, strings.TrimPrefix(req.URL.Path, "/"))
	})
}

type cut struct {
	http.ResponseWriter
	left int
}

func (c *cut) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b[:min(len(b), c.left)])
	if c.left -= n; c.left == 0 && n < len(b) && err == nil {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// TestBrokenConnections go on where they broke: what was downloaded is not downloaded again.
func TestBrokenConnections(t *testing.T) {
	for name, f := range map[string]devicetest.Firmware{
		"packs": {Images: map[string][]byte{"default": newImage}},
		"plain": {Images: map[string][]byte{"default": newImage}, Plain: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.change = func(c *update.Config) { c.Download.Rounds = 12 } // of 9,000 bytes each, less than what makes failures forgotten
			rel := r.build(f)
			u := r.until(r.offer(devicetest.Offer{Release: rel, Serve: cutting(rel, 9_000)}), attested)
			r.runs(newImage)
			if most := int64(len(newImage) + 20_000); u.Last.Bytes > most {
				t.Errorf("%d bytes downloaded, want at most %d", u.Last.Bytes, most)
			}
		})
	}
}

// TestRestartInDownload goes on with what is in the slot.
func TestRestartInDownload(t *testing.T) {
	for name, tt := range map[string]struct {
		plain  bool
		size   int // of the image
		synced int // that are not asked for again
	}{"packs": {false, 700_000, 400_000}, "plain": {true, 5 << 20, 4 << 20}} {
		t.Run(name, func(t *testing.T) {
			img := append(imagetest.Stream("large", tt.size), newImage...)
			r := newRig(t)
			var err error
			if r.board, err = devicetest.NewBoard(8<<20, map[string][]byte{"default": oldImage}); err != nil {
				t.Fatal(err)
			}
			r.board.Bootable(img)
			rel := r.build(devicetest.Firmware{Images: map[string][]byte{"default": img}, Plain: tt.plain})
			var served atomic.Int64
			hold, most := make(chan struct{}), int64(tt.size*9/10)
			number := r.offer(devicetest.Offer{Release: rel, Serve: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				rel.ServeHTTP(&holding{w, &served, most, req.Context(), hold}, req, strings.TrimPrefix(req.URL.Path, "/"))
			})})
			stop := r.alive()
			r.await(number, func(u devicetest.Update) bool { return u.Last.Permille > 600 })
			stop()
			close(hold)
			r.alive()
			r.await(number, attested)
			r.runs(img)
			if n := served.Load(); n > int64(len(img))+most-int64(tt.synced)+100_000 {
				t.Errorf("%d bytes were served for an image of %d", n, len(img))
			}
		})
	}
}

// holding stops after most bytes until hold is closed.
type holding struct {
	http.ResponseWriter
	served *atomic.Int64
	most   int64
	ctx    context.Context // of the request
	hold   chan struct{}
}

func (h *holding) Write(b []byte) (int, error) {
	if h.served.Load() > h.most {
		_ = http.NewResponseController(h.ResponseWriter).Flush()
		select {
		case <-h.hold:
		case <-h.ctx.Done():
			return 0, h.ctx.Err()
		}
	}
	n, err := h.ResponseWriter.Write(b)
	h.served.Add(int64(n))
	return n, err
}

// TestBudget is an assignment with fewer bytes than the update needs.
func TestBudget(t *testing.T) {
	small := func(a *signing.Assignment) { a.Budget = 60_000 }
	t.Run("fail", func(t *testing.T) {
		r := newRig(t)
		rel := r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage}})
		u := r.until(r.offer(devicetest.Offer{Release: rel, Assign: small}), in("failed"))
		if u.Last.Class != string(failure.Budget) || u.Last.Bytes > 60_000 {
			t.Errorf("class %q, %d bytes", u.Last.Class, u.Last.Bytes)
		}
		r.oldRuns()
		// The next one goes on in the slot.
		u = r.until(r.offer(devicetest.Offer{Release: rel}), attested)
		if u.Last.Bytes > int64(len(newImage)) {
			t.Errorf("%d bytes for the rest", u.Last.Bytes)
		}
		r.runs(newImage)
	})
	t.Run("wait", func(t *testing.T) {
		r := newRig(t)
		var asked atomic.Int64
		r.change = func(c *update.Config) {
			c.Download.Spent = update.Wait
			c.Download.More = func(context.Context, int64) (int64, error) { asked.Add(1); return 50_000, nil }
		}
		r.until(r.offer(devicetest.Offer{Release: r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage}}), Assign: small}), attested)
		r.runs(newImage)
		if n := asked.Load(); n != 2 {
			t.Errorf("asked for more %d times, want 2", n)
		}
	})
	t.Run("continue", func(t *testing.T) {
		r := newRig(t)
		r.change = func(c *update.Config) { c.Download.Spent = update.Continue }
		r.until(r.offer(devicetest.Offer{Release: r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage}}), Assign: small}), attested)
		r.runs(newImage)
	})
}

// TestStock takes firmware as stock devices do, when it may.
func TestStock(t *testing.T) {
	unsigned := func(c *update.Config) { c.AllowUnsigned, c.Root = true, nil }
	offer := func(t *testing.T, r *rig, image []byte) string {
		t.Helper()
		number, err := r.hub.OfferStockFirmware(r.id, "2.0", image)
		if err != nil {
			t.Fatal(err)
		}
		return number
	}
	t.Run("succeeds", func(t *testing.T) {
		r := newRig(t)
		r.change = unsigned
		u := r.until(offer(t, r, newImage), in("succeeded"))
		if got := strings.Join(u.States, " "); got != "downloading burning succeeded" {
			t.Errorf("states %q", got)
		}
		r.runs(newImage)
	})
	t.Run("does not boot", func(t *testing.T) {
		r := newRig(t)
		r.change = unsigned
		u := r.until(offer(t, r, imagetest.Stream("crashes", 50_000)), in("failed"))
		if u.Last.Class != "-105" {
			t.Errorf("ErrCode %s", u.Last.Class)
		}
		r.oldRuns()
	})
	t.Run("another MD5", func(t *testing.T) {
		r := newRig(t)
		r.change = unsigned
		number := offer(t, r, newImage)
		r.hub.ReplaceStockFirmware(number, imagetest.Stream("other", len(newImage)))
		u := r.until(number, in("failed"))
		if u.Last.Class != "-4" {
			t.Errorf("ErrCode %s", u.Last.Class)
		}
		r.oldRuns()
	})
}

// TestNoURLInLogs: a source's URL is all the credential that is needed, and no log has it.
func TestNoURLInLogs(t *testing.T) {
	r := newRig(t)
	var text syncBuffer
	r.log = slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	r.until(r.offer(devicetest.Offer{Mirrors: []string{gone.URL + "/f/token/", newServer(t, http.NotFoundHandler()) + "/f/token/"}}), attested)
	if got := text.String(); strings.Contains(got, "/f/") || !strings.Contains(got, "a source of firmware failed") {
		t.Errorf("the log has a URL, or no failed source:\n%s", got)
	}
}

// syncBuffer is a buffer for several writers.
type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
