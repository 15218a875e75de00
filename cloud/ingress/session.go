package ingress

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Errors of Sessions, beside refusals.
var (
	ErrSessionLink     = errors.New("ingress: the URL of an upload is not one, or has expired")
	ErrSessionGone     = errors.New("ingress: the upload is gone")
	ErrSessionChecksum = errors.New("ingress: other bytes than the checksum says")
	ErrSessionOffset   = errors.New("ingress: the upload goes on elsewhere")
	ErrSessionSize     = errors.New("ingress: wrong number of bytes")
)

// Sessions take files that come in parts.
type Sessions interface {
	// Call answers a request about a session, refusals too, in the request's format.
	Call(ctx context.Context, dev *registry.Device, body []byte) []byte
	// PutPart takes a part; size is -1 when it is not said.
	PutPart(ctx context.Context, word string, size int64, data io.Reader) error
	// Offset is where the relay goes on, and how long the file is.
	Offset(ctx context.Context, word string) (at, size int64, err error)
	// Patch takes the next bytes by the relay and returns where it goes on; so it does with ErrSessionOffset and ErrSessionSize.
	Patch(ctx context.Context, word string, offset int64, sum [32]byte, data io.Reader) (next int64, err error)
	// Drop ends a session.
	Drop(ctx context.Context, word string) error
}

const (
	sessionPath = "/upload"
	partPath    = "/upload/part/"
	relayPath   = "/upload/relay/"
	// maxSessionBody bounds a request about a session.
	maxSessionBody = 16 << 10
)

func isSession(path string) bool {
	return path == sessionPath || strings.HasPrefix(path, partPath) || strings.HasPrefix(path, relayPath)
}

// session serves what concerns a file that comes in parts.
func (in *Ingress) session(w http.ResponseWriter, r *http.Request) {
	if word, ok := strings.CutPrefix(r.URL.Path, relayPath); ok {
		in.relay(w, r, word)
		return
	}
	if word, ok := strings.CutPrefix(r.URL.Path, partPath); ok && r.Method == http.MethodPut {
		data := &stalling{r.Body, http.NewResponseController(w)}
		status := in.sessionStatus("part", in.Sessions.PutPart(r.Context(), word, r.ContentLength, data), http.StatusOK)
		if status != http.StatusOK {
			_, _ = io.Copy(io.Discard, io.LimitReader(data, drainMax)) // it is refused whatever it holds
		}
		in.empty(w, status)
		return
	}
	if r.URL.Path != sessionPath || r.Method != http.MethodPost {
		in.empty(w, http.StatusNotFound)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), in.cfg.Wait)
	defer cancel()
	dev, _, code := in.sender(ctx, r.Header.Get("Password"))
	body, bad := read(r, maxSessionBody)
	if code.OK() {
		code = bad
	}
	in.requests.WithLabelValues("upload", strconv.Itoa(int(code))).Inc()
	if !code.OK() {
		write(w, http.StatusOK, reply(code, "", nil))
		return
	}
	in.seen(dev)
	write(w, http.StatusOK, in.Sessions.Call(ctx, dev, body))
}

// sessionStatus is the status for what became of a request, which it counts. Reasons are short, as small clients want them.
func (in *Ingress) sessionStatus(path string, err error, well int) int {
	status := well
	switch {
	case err == nil:
	case errors.Is(err, ErrSessionLink):
		status = http.StatusForbidden
	case errors.Is(err, ErrSessionGone):
		status = http.StatusGone
	case errors.Is(err, ErrSessionChecksum):
		status = statusChecksum
	case errors.Is(err, ErrSessionOffset):
		status = http.StatusConflict
	case errors.Is(err, ErrSessionSize):
		status = http.StatusBadRequest
	default:
		_ = in.fault("upload "+path, err) // it is logged
		status = http.StatusBadGateway
	}
	code := "0"
	if status != well {
		code = strconv.Itoa(status)
	}
	in.requests.WithLabelValues(path, code).Inc()
	return status
}

// What tus 1.0 says.
const (
	tusVersion     = "1.0.0"
	tusContentType = "application/offset+octet-stream"
	statusChecksum = 460 // of tus's checksum extension
)

// relay speaks tus 1.0, its core protocol with the checksum and termination extensions; sessions are begun by POST /upload.
func (in *Ingress) relay(w http.ResponseWriter, r *http.Request, word string) {
	h := w.Header()
	h.Set("Tus-Resumable", tusVersion)
	switch {
	case r.Method == http.MethodOptions:
		h.Set("Tus-Version", tusVersion)
		h.Set("Tus-Extension", "checksum,termination")
		h.Set("Tus-Checksum-Algorithm", "sha256")
		in.empty(w, http.StatusNoContent)
	case r.Header.Get("Tus-Resumable") != tusVersion:
		h.Set("Tus-Version", tusVersion)
		in.empty(w, http.StatusPreconditionFailed)
	case r.Method == http.MethodHead:
		at, size, err := in.Sessions.Offset(r.Context(), word)
		status := in.sessionStatus("relay", err, http.StatusOK)
		if err == nil {
			h.Set("Cache-Control", "no-store")
			h.Set("Upload-Offset", strconv.FormatInt(at, 10))
			h.Set("Upload-Length", strconv.FormatInt(size, 10))
		}
		in.empty(w, status)
	case r.Method == http.MethodPatch:
		in.patch(w, r, word)
	case r.Method == http.MethodDelete:
		in.empty(w, in.sessionStatus("relay", in.Sessions.Drop(r.Context(), word), http.StatusNoContent))
	default:
		in.empty(w, http.StatusMethodNotAllowed)
	}
}

func (in *Ingress) patch(w http.ResponseWriter, r *http.Request, word string) {
	if r.Header.Get("Content-Type") != tusContentType {
		in.empty(w, http.StatusUnsupportedMediaType)
		return
	}
	offset, sum, ok := parsePatch(r.Header)
	if !ok {
		in.empty(w, http.StatusBadRequest)
		return
	}
	data := &stalling{r.Body, http.NewResponseController(w)}
	next, err := in.Sessions.Patch(r.Context(), word, offset, sum, io.LimitReader(data, message.UploadPatchMax+1))
	status := in.sessionStatus("relay", err, http.StatusNoContent)
	if err != nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(data, drainMax)) // so that a client that sends all of it first gets the answer
	}
	if err == nil || errors.Is(err, ErrSessionOffset) {
		w.Header().Set("Upload-Offset", strconv.FormatInt(next, 10))
	}
	in.empty(w, status)
}

// parsePatch reads Upload-Offset and Upload-Checksum, which must be there and sha256.
func parsePatch(h http.Header) (offset int64, sum [sha256.Size]byte, ok bool) {
	offset, err := strconv.ParseInt(h.Get("Upload-Offset"), 10, 64)
	algorithm, text, _ := strings.Cut(h.Get("Upload-Checksum"), " ")
	b, err2 := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || err2 != nil || offset < 0 || algorithm != "sha256" || len(b) != sha256.Size {
		return 0, sum, false
	}
	return offset, [sha256.Size]byte(b), true
}
