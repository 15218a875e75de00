package ingress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/shortlink"
)

// ErrNoDownload is what Downloads return for a token that nothing can be had with: unknown, expired, or not over this connection.
var ErrNoDownload = errors.New("ingress: nothing to download")

// Downloads find what short URLs stand for.
type Downloads interface {
	// Find returns what a token stands for, or what has the path below it: "" for a link without one. encrypted tells whether the request came over TLS.
	Find(ctx context.Context, token, path string, encrypted bool) (Download, error)
}

// Download is a blob that never changes, or bytes that are at hand.
type Download struct {
	Blob string
	Data []byte // when Blob is ""
	Size int64
	ETag string // with quotes
	// Save has browsers save it and never show it: it is somebody's file.
	Save bool
}

// open reads n bytes from an offset on.
func (d *Download) open(ctx context.Context, blobs blob.Store, from, n int64) (io.ReadCloser, error) {
	if d.Blob == "" {
		return io.NopCloser(bytes.NewReader(d.Data[from : from+n])), nil
	}
	body, _, err := blobs.Get(ctx, d.Blob, from, n)
	return body, err
}

// download serves ranges of a blob: thousands on one connection, 4,097 bytes each, is what small clients do. They flash whatever comes
// as a body, so that an error has none. Nothing is compressed, whatever the client says it takes.
func (in *Ingress) download(w http.ResponseWriter, r *http.Request) {
	select {
	case in.downloads <- struct{}{}:
		defer func() { <-in.downloads }()
	default:
		in.requests.WithLabelValues("download", "503").Inc()
		w.Header().Set("Retry-After", "5")
		in.empty(w, http.StatusServiceUnavailable)
		return
	}
	token, _ := shortlink.Find(r)
	token, path, below := strings.Cut(token, "/")
	d, err := in.Downloads.Find(r.Context(), token, path, r.TLS != nil)
	if err != nil {
		in.noDownload(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Accept-Ranges", "bytes")
	h.Set("ETag", d.ETag)
	if d.Save {
		h.Set("Content-Disposition", "attachment")
		h.Set("X-Content-Type-Options", "nosniff")
	}
	spec := r.Header.Get("Range")
	if cond := r.Header.Get("If-Range"); cond != "" && cond != d.ETag {
		spec = ""
	}
	from, n, partial, ok := rangeOf(spec, d.Size)
	if !ok {
		h.Set("Content-Range", "bytes */"+strconv.FormatInt(d.Size, 10))
		status := http.StatusBadRequest // the reason of 416 is too long for small clients, which have no links with paths
		if below {
			status = http.StatusRequestedRangeNotSatisfiable
		}
		in.empty(w, status)
		return
	}
	body, err := d.open(r.Context(), in.Blobs, from, n)
	if err != nil {
		in.noDownload(w, err)
		return
	}
	defer func() { _ = body.Close() }() // it was only read
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", "bytes "+strconv.FormatInt(from, 10)+"-"+strconv.FormatInt(from+n-1, 10)+"/"+strconv.FormatInt(d.Size, 10))
	}
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	w.WriteHeader(status)
	in.requests.WithLabelValues("download", "0").Inc()
	if r.Method == http.MethodHead {
		return
	}
	sent, err := send(w, body, n)
	in.served.Add(float64(sent))
	if err != nil && r.Context().Err() == nil {
		in.Log.Debug("download broke off", "blob", d.Blob, "err", err)
	}
}

// smallRange is up to what a range is read and written at once: sendfile would cost more system calls than it saves.
const smallRange = 32 << 10

var rangeBuffers = sync.Pool{New: func() any { return new([smallRange]byte) }}

// send writes the n bytes of body, with sendfile where both sides can.
func send(w http.ResponseWriter, body io.Reader, n int64) (int64, error) {
	if n > smallRange {
		return io.Copy(w, body)
	}
	buf := rangeBuffers.Get().(*[smallRange]byte)
	defer rangeBuffers.Put(buf)
	if _, err := io.ReadFull(body, buf[:n]); err != nil {
		return 0, err
	}
	k, err := w.Write(buf[:n])
	return int64(k), err
}

// noDownload answers without a body. A URL that is not good is the client's fault, all else is logged.
func (in *Ingress) noDownload(w http.ResponseWriter, err error) {
	if errors.Is(err, ErrNoDownload) || errors.Is(err, blob.ErrNotFound) {
		in.requests.WithLabelValues("download", "404").Inc()
		in.empty(w, http.StatusNotFound)
		return
	}
	_ = in.fault("download", err) // it is logged; the answer has no code
	in.requests.WithLabelValues("download", "502").Inc()
	in.empty(w, http.StatusBadGateway)
}

func (in *Ingress) empty(w http.ResponseWriter, status int) {
	w.Header().Del("Content-Type")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}

// rangeOf reads a Range header for a blob of size bytes. An end past the last byte means the last byte; more than one range, and what
// is no range, means the whole. ok is false for a range that begins past the end.
func rangeOf(header string, size int64) (from, n int64, partial, ok bool) {
	spec, found := strings.CutPrefix(strings.TrimSpace(header), "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !found || !dash || strings.IndexByte(last, ',') >= 0 {
		return 0, size, false, true
	}
	if first == "" { // the last n bytes
		tail, err := strconv.ParseInt(last, 10, 64)
		if err != nil || tail < 0 {
			return 0, size, false, true
		}
		tail = min(tail, size)
		return size - tail, tail, true, tail > 0
	}
	from, err := strconv.ParseInt(first, 10, 64)
	end := size - 1
	if err == nil && last != "" {
		end, err = strconv.ParseInt(last, 10, 64)
	}
	switch {
	case err != nil || from < 0 || end < from && last != "":
		return 0, size, false, true
	case from >= size:
		return 0, 0, false, false
	}
	return from, min(end, size-1) - from + 1, true, true
}
