package upload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/upload"
	"github.com/hawser-iot/hawser/protocol/ident"
)

const (
	secret = "0123456789abcdef"
	size   = 1<<20 + 12345
	part   = 200 << 10
)

type rig struct {
	t    *testing.T
	hub  *devicetest.Hub
	id   ident.Device
	cfg  upload.Config
	data []byte
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, hub: devicetest.New(t), data: make([]byte, size)}
	_, _ = rand.NewChaCha8([32]byte{1}).Read(r.data)
	r.hub.SetUploadPartSize(part)
	r.id = r.hub.AddDevice(devicetest.Device{Secret: secret})
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	r.cfg = upload.Config{Hub: upload.NewHTTP(r.hub.UploadURL(), r.id, secret, client), Client: client, RetryMin: time.Millisecond, RetryMax: 10 * time.Millisecond}
	return r
}

func (r *rig) file() *upload.File {
	return &upload.File{Name: "a.bin", Class: "image", Size: size, SHA256: sha256.Sum256(r.data), Data: bytes.NewReader(r.data)}
}

func (r *rig) send(ctx context.Context) (*upload.Uploader, error) {
	u := upload.New(r.cfg, slog.New(slog.DiscardHandler))
	_, err := u.Send(ctx, r.file())
	return u, err
}

// arrived checks that the file is there once, as it is.
func (r *rig) arrived() {
	r.t.Helper()
	list := r.hub.Uploaded()
	if len(list) != 1 || list[0].Name != "a.bin" || list[0].Class != "image" || !bytes.Equal(list[0].Data, r.data) || list[0].Device != r.id {
		r.t.Fatalf("%d files arrived", len(list))
	}
}

func TestSend(t *testing.T) {
	for name, change := range map[string]func(*upload.Config){
		"direct":   func(*upload.Config) {},
		"parallel": func(c *upload.Config) { c.Parallel = 4 },
		"relay":    func(c *upload.Config) { c.Path = upload.Relay },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			change(&r.cfg)
			var last int64
			if r.cfg.Parallel == 0 {
				r.cfg.Progress = func(_ *upload.File, stored int64) { last = stored }
			}
			u, err := r.send(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r.arrived()
			if s := u.Stats(); s.Sent != size || s.Files != 1 || r.hub.UploadBytes() != size || r.cfg.Progress != nil && last != size {
				t.Errorf("stats %+v, %d came, progress %d", s, r.hub.UploadBytes(), last)
			}
			if u, err := r.send(t.Context()); err != nil || u.Stats().Sent != 0 {
				t.Errorf("once more: %+v, %v", u.Stats(), err)
			}
		})
	}
}

// TestDisturbed: whatever goes wrong on the way, the file arrives.
func TestDisturbed(t *testing.T) {
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(code)
			return true
		}
	}
	for name, disturb := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"500": status(500), "URL has expired": status(403), "session is gone": status(410), "checksum": status(460), "busy": status(503),
		"cut": func(w http.ResponseWriter, r *http.Request) bool {
			_, _ = io.CopyN(io.Discard, r.Body, 70_000)
			panic(http.ErrAbortHandler)
		},
		"other bytes": func(w http.ResponseWriter, r *http.Request) bool {
			b, _ := io.ReadAll(r.Body)
			b[len(b)/2]++
			r.Body = io.NopCloser(bytes.NewReader(b))
			return false
		},
		"answer is late": func(w http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		},
	} {
		for _, path := range []upload.Path{upload.Direct, upload.Relay, upload.Auto} {
			t.Run(name+[]string{" auto", " direct", " relay"}[path], func(t *testing.T) {
				r := newRig(t)
				r.cfg.Path, r.cfg.Stall = path, 150*time.Millisecond
				var n atomic.Int64
				r.hub.DisturbUploads(func(w http.ResponseWriter, req *http.Request) bool { return n.Add(1)%3 == 2 && disturb(w, req) })
				u, err := r.send(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				r.arrived()
				if u.Stats().Retries == 0 {
					t.Error("nothing was disturbed")
				}
			})
		}
	}
}

// TestKilled: a sender that ends anywhere goes on where the hub is; what was on its way is all that is sent twice.
func TestKilled(t *testing.T) {
	for _, path := range []upload.Path{upload.Direct, upload.Relay} {
		r := newRig(t)
		r.cfg.Path = path
		const kills = 20
		for range kills {
			ctx, kill := context.WithCancel(t.Context())
			at := int(rand.N(int64(1.3 * part)))
			r.cfg.Pace = func(context.Context, int) error {
				if at -= 16 << 10; at < 0 {
					kill()
				}
				return ctx.Err()
			}
			if _, err := r.send(ctx); err == nil {
				break // all of it is there
			}
			kill()
		}
		r.cfg.Pace = nil
		if _, err := r.send(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.arrived()
		if again := r.hub.UploadBytes() - size; again > kills*part {
			t.Errorf("path %d: %d bytes came twice", path, again)
		}
	}
}

// TestWeakLink: a part that breaks off twice in turn goes by the relay, and so does all when there is no way to the object store.
func TestWeakLink(t *testing.T) {
	r := newRig(t)
	r.hub.DisturbUploads(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPut {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	if _, err := r.send(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.arrived()
}

func TestRefused(t *testing.T) {
	r := newRig(t)
	u := upload.New(r.cfg, slog.New(slog.DiscardHandler))
	f := r.file()
	f.Name = ""
	_, err := u.Send(t.Context(), f)
	if refused := (*upload.RefusedError)(nil); !errors.As(err, &refused) {
		t.Errorf("no name: %v", err)
	}
	r.cfg.Hub = upload.NewHTTP(r.hub.UploadURL(), r.id, "not the secret..", nil)
	if _, err := r.send(t.Context()); err == nil {
		t.Error("a wrong secret was taken")
	}
	r.cfg.Hub, r.cfg.Tries = upload.NewHTTP("http://127.0.0.1:1", r.id, secret, nil), 2
	if _, err := r.send(t.Context()); err == nil || strings.Contains(err.Error(), "refused with code") {
		t.Errorf("no hub: %v", err)
	}
}

// TestChanged: a file that changes while it is sent is not mixed from both.
func TestChanged(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(t.TempDir(), "a.bin")
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(r.data)
	open := func() *upload.File {
		t.Helper()
		f, err := upload.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		f.Class, f.Key = "image", path
		return f
	}
	f := open()
	r.data = append(r.data[:size-1:size-1], r.data[size-1]+1)
	r.cfg.Progress = func(_ *upload.File, stored int64) {
		if stored == 2*part {
			write(append(r.data, 'x')) // longer: the time of change may be the same
		}
	}
	u := upload.New(r.cfg, slog.New(slog.DiscardHandler))
	if _, err := u.Send(t.Context(), f); !errors.Is(err, upload.ErrChanged) {
		t.Fatalf("got %v, want ErrChanged", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	r.data = append(r.data, 'x')
	f, r.cfg.Progress = open(), nil
	if _, err := upload.New(r.cfg, slog.New(slog.DiscardHandler)).Send(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	r.arrived()
}

// TestOverMQTT asks over the device's connection; the bytes go over HTTP.
func TestOverMQTT(t *testing.T) {
	r := newRig(t)
	log := slog.New(slog.DiscardHandler)
	dev, err := device.New(device.Config{Server: r.hub.URL(), Product: r.id.Product, SN: r.id.SN, Secret: secret}, log)
	if err != nil {
		t.Fatal(err)
	}
	if r.cfg.Hub, err = upload.NewMQTT(dev.Uploads(), log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- dev.Run(ctx) }()
	if _, err := r.send(ctx); err != nil {
		t.Error(err)
	}
	r.arrived()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestDigestOfAnother: bytes that are no longer those of the digest, though the file looks the same, are not sent for ever.
func TestDigestOfAnother(t *testing.T) {
	r := newRig(t)
	f := r.file()
	f.SHA256 = sha256.Sum256([]byte("another"))
	_, err := upload.New(r.cfg, slog.New(slog.DiscardHandler)).Send(t.Context(), f)
	if !errors.Is(err, upload.ErrChanged) || r.hub.UploadBytes() != size {
		t.Errorf("%v, %d bytes were sent", err, r.hub.UploadBytes())
	}
}

// TestFirstAlone: the first part goes alone, because it is not known yet how many may be lost.
func TestFirstAlone(t *testing.T) {
	r := newRig(t)
	r.cfg.Parallel = 4
	var begun, alone atomic.Int64
	r.hub.DisturbUploads(func(_ http.ResponseWriter, req *http.Request) bool {
		n := begun.Add(1)
		body, err := io.ReadAll(req.Body)
		if err == nil {
			req.Body = io.NopCloser(bytes.NewReader(body))
		}
		if n == 1 {
			alone.Store(begun.Load())
		}
		return false
	})
	if _, err := r.send(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.arrived()
	if alone.Load() != 1 {
		t.Errorf("%d parts had begun before the first had ended", alone.Load())
	}
}
