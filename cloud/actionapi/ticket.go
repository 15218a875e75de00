package actionapi

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/upload"
)

// ticket is what the URL of a file holds, under a MAC of the keyring: nothing is stored for it. Whoever has the URL gets the file until
// its time is over or the file is gone.
type ticket struct {
	Kind    string `json:"k"`
	Device  int64  `json:"d,omitempty"`
	File    int64  `json:"f,omitempty"`
	Project string `json:"o,omitempty"`
	Product string `json:"p,omitempty"`
	Until   int64  `json:"u"` // Unix seconds
}

// The kinds of ticket.
const (
	ticketFile      = "file"
	ticketPasswords = "passwords"
)

const (
	ticketAction  = "DownloadUIoTCoreFile"
	ticketParam   = "Ticket"
	ticketPurpose = "action api tickets"
)

var b64 = base64.RawURLEncoding.Strict()

// url is where a ticket is good, on the address that the application itself uses.
func (f *face) url(c *call, t ticket) string {
	scheme := "http"
	if c.http.TLS != nil || c.http.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	body := encode(t)
	return scheme + "://" + c.http.Host + "/?Action=" + ticketAction + "&" + ticketParam + "=" + b64.EncodeToString(append(mac(f.Ring.Derive(ticketPurpose)[0], body), body...))
}

func mac(key [32]byte, body []byte) []byte {
	h := hmac.New(sha256.New, key[:])
	h.Write(body)
	return h.Sum(nil)
}

// open reads a ticket; ok is false for one that this hub did not give, or whose time is over.
func (f *face) open(text string) (t ticket, ok bool) {
	b, err := b64.DecodeString(text)
	if err != nil || len(b) <= sha256.Size {
		return t, false
	}
	for _, key := range f.Ring.Derive(ticketPurpose) {
		if hmac.Equal(b[:sha256.Size], mac(key, b[sha256.Size:])) {
			return t, json.Unmarshal(b[sha256.Size:], &t) == nil && f.now().Unix() < t.Until
		}
	}
	return t, false
}

// ticketOf is the ticket of a request for a file, "" for another request.
func ticketOf(r *http.Request) string {
	if r.Method != http.MethodGet {
		return ""
	}
	q := r.URL.Query()
	if q.Get("Action") != ticketAction {
		return ""
	}
	return q.Get(ticketParam)
}

// download serves a file to whoever has its URL.
func (f *face) download(w http.ResponseWriter, r *http.Request, text string) {
	t, ok := f.open(text)
	if !ok {
		http.Error(w, "the URL is not one of this hub's, or its time is over", http.StatusForbidden)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if t.Kind == ticketPasswords {
		table, err := f.passwords(r.Context(), t.Project, t.Product)
		if err != nil {
			f.noDownload(w, r, err)
			return
		}
		f.send(w, t.Product+".csv", "text/csv; charset=utf-8", int64(len(table)), bytes.NewReader(table))
		return
	}
	one, err := f.Files.File(r.Context(), t.Device, t.File)
	if err != nil {
		f.noDownload(w, r, err)
		return
	}
	body, err := f.Files.Content(r.Context(), one)
	if err != nil {
		f.noDownload(w, r, err)
		return
	}
	defer func() { _ = body.Close() }() // it was only read
	f.send(w, one.Name, "application/octet-stream", one.Size, body)
}

func (f *face) send(w http.ResponseWriter, name, media string, size int64, body io.Reader) {
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	_, _ = io.Copy(w, body) // the client may have gone; a length that is not reached tells it
}

func (f *face) noDownload(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, upload.ErrNotFound) || errors.Is(err, blob.ErrNotFound) {
		http.Error(w, "the file is not there any more", http.StatusNotFound)
		return
	}
	if r.Context().Err() == nil {
		f.log.Error("file not served", "err", err)
	}
	http.Error(w, "the file cannot be read just now; try again", http.StatusServiceUnavailable)
}
