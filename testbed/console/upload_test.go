package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/upload"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// uploader sends a pump's files over the hub, as a device with the SDK does. The hub's own certificate is not looked at.
func (w *world) uploader(p *pump, progress func(*upload.File, int64)) *upload.Uploader {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the hub's self-signed one
	id := ident.Device{Product: p.ProductSN, SN: p.DeviceSN}
	return upload.New(upload.Config{Hub: upload.NewHTTP("http://"+w.hub.HTTP, id, credential.Secret(p.DeviceSecret), client), Client: client, Path: upload.Relay, Tries: 3,
		Progress: progress}, slog.New(slog.DiscardHandler))
}

// send has a pump send a whole file.
func (w *world) send(ctx context.Context, p *pump, name, class string, data []byte) error {
	_, err := w.uploader(p, nil).Send(ctx, fileOf(name, class, data, bytes.NewReader(data)))
	return err
}

func fileOf(name, class string, data []byte, r io.ReaderAt) *upload.File {
	return &upload.File{Name: name, Class: class, ContentType: "text/plain", Size: int64(len(data)), SHA256: sha256.Sum256(data), Data: r}
}

// gated is a file that is not read beyond its first patch before it is let go.
type gated struct {
	io.ReaderAt
	open <-chan struct{}
}

func (g gated) ReadAt(b []byte, off int64) (int, error) {
	if off >= message.UploadPatch {
		<-g.open
	}
	return g.ReaderAt.ReadAt(b, off)
}

// uploadHandlers are: file/DEVICE/CLASS/NAME sends the body as a file; half/DEVICE/NAME sends one of 640 KiB of which 256 have come when it answers; whole
// lets that one go.
func (w *world) uploadHandlers(mux *http.ServeMux) {
	ctx, cancel := context.WithCancel(context.Background())
	open := make(chan struct{})
	release := sync.OnceFunc(func() { close(open) })
	var wg sync.WaitGroup
	w.t.Cleanup(func() { cancel(); release(); wg.Wait() })
	mux.HandleFunc("POST /file/{device}/{class}/{name}", func(rw http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err == nil {
			err = w.send(r.Context(), w.pumps[r.PathValue("device")], r.PathValue("name"), r.PathValue("class"), data)
		}
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadGateway)
		}
	})
	mux.HandleFunc("POST /half/{device}/{name}", func(rw http.ResponseWriter, r *http.Request) {
		data := bytes.Repeat([]byte("half of a file.\n"), 40<<10)
		stored, ended := make(chan struct{}), make(chan error, 1)
		once := sync.OnceFunc(func() { close(stored) })
		up := w.uploader(w.pumps[r.PathValue("device")], func(_ *upload.File, n int64) {
			if n > 0 {
				once()
			}
		})
		wg.Go(func() {
			_, err := up.Send(ctx, fileOf(r.PathValue("name"), "log", data, gated{bytes.NewReader(data), open}))
			ended <- err
		})
		select {
		case <-stored:
		case err := <-ended:
			http.Error(rw, "ended: "+err.Error(), http.StatusBadGateway)
		case <-time.After(time.Minute):
			http.Error(rw, "nothing is stored", http.StatusBadGateway)
		}
	})
	mux.HandleFunc("POST /whole", func(http.ResponseWriter, *http.Request) { release() })
}
