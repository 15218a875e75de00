package devicetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// UploadedFile is one that a device has sent, whole and checked.
type UploadedFile struct {
	Device      ident.Device
	ID          string
	Name, Class string
	Data        []byte
}

// uploads is the hub's part of uploads, in memory.
type uploads struct {
	addr     string // "" before the first use
	server   *http.Server
	partSize int64
	disturb  func(w http.ResponseWriter, r *http.Request) bool
	sessions []*uploading // by id - 1
	tokens   map[string]ident.Device
	files    []UploadedFile
	received int64
}

// uploading is one session.
type uploading struct {
	message.UploadRequest
	id      string
	device  ident.Device
	data    []byte
	parts   map[int]bool
	relayed int64 // from the beginning, without a gap
	state   string
}

// UploadURL is the base URL for upload.NewHTTP; uploads over MQTT need none.
func (h *Hub) UploadURL() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.uploadURLLocked()
}

func (h *Hub) uploadURLLocked() string {
	u := &h.uploads
	if u.server == nil {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			h.log.Error("no address for uploads", "err", err)
			return ""
		}
		u.addr, u.tokens = ln.Addr().String(), map[string]ident.Device{}
		u.server = &http.Server{Handler: http.HandlerFunc(h.serveUpload), ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug)}
		go func() { _ = u.server.Serve(ln) }() // it ends when it is closed
	}
	return "http://" + u.addr
}

// SetUploadPartSize sets the size of parts of new sessions, so that small files have several; 5 MiB otherwise.
func (h *Hub) SetUploadPartSize(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.uploads.partSize = n
}

// DisturbUploads has f see every part and patch before the hub does; when it returns true it has answered, or cut, the request itself.
func (h *Hub) DisturbUploads(f func(w http.ResponseWriter, r *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.uploads.disturb = f
}

// Uploaded are the files that have arrived, in that order.
func (h *Hub) Uploaded() []UploadedFile {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]UploadedFile(nil), h.uploads.files...)
}

// UploadBytes is how many bytes of parts and patches came in, those that were not taken too.
func (h *Hub) UploadBytes() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.uploads.received
}

// upload answers a message on upload/upstream.
func (h *Hub) upload(m Message) {
	h.reply(m, h.uploadCall(m.From, m.Payload))
}

// uploadCall does what a device asks for a session.
func (h *Hub) uploadCall(d ident.Device, body []byte) message.UploadReply {
	var r message.UploadRequest
	if err := codec.Unmarshal(body, &r); err != nil {
		return message.UploadReply{RetCode: message.CodeBad, Message: "no request"}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.uploadURLLocked()
	a := message.UploadReply{RequestID: r.RequestID, Method: r.Method}
	s := h.uploadSessionLocked(d, r)
	if s == nil {
		a.RetCode, a.Message = message.CodeMissing, "there is no such upload"
		return a
	}
	if r.Method == message.UploadComplete && s.state == message.UploadOpen && !h.uploadCompleteLocked(s) {
		a.RetCode, a.Message = message.CodeBad, "bytes are missing, or others than the digest says"
		return a
	}
	h.uploadStateLocked(s, &a)
	for _, p := range r.Parts {
		a.Parts = append(a.Parts, message.UploadPart{No: p.No, URL: fmt.Sprintf("%s/upload/part/%s-%d-%s", h.uploadURLLocked(), s.id, p.No, p.SHA256)})
	}
	return a
}

// uploadSessionLocked is the session that a request is about; nil when there is none.
func (h *Hub) uploadSessionLocked(d ident.Device, r message.UploadRequest) *uploading {
	u := &h.uploads
	for _, s := range u.sessions {
		if s.device != d || s.state == "" {
			continue
		}
		if r.Method != message.UploadInit {
			if s.id == r.UploadID {
				return s
			}
			continue
		}
		if s.Key != r.Key || r.Key == "" && s.SHA256 != r.SHA256 {
			continue
		}
		if s.SHA256 == r.SHA256 && s.FileSize == r.FileSize {
			return s
		}
		s.state = "" // another content under the same key
	}
	if r.Method != message.UploadInit || r.FileName == "" || len(r.SHA256) != 64 || r.FileSize < 0 || r.FileSize > 1<<30 {
		return nil
	}
	s := &uploading{UploadRequest: r, id: strconv.Itoa(len(u.sessions) + 1), device: d, data: make([]byte, r.FileSize), parts: map[int]bool{}, state: message.UploadOpen}
	if s.PartSize = u.partSize; s.PartSize == 0 {
		s.PartSize = message.UploadPartMin
	}
	u.sessions = append(u.sessions, s)
	return s
}

func (s *uploading) offset() int64 {
	at := s.relayed
	for at < s.FileSize && s.parts[int(at/s.PartSize)+1] {
		at = min((at/s.PartSize+1)*s.PartSize, s.FileSize)
	}
	return at
}

func (h *Hub) uploadStateLocked(s *uploading, a *message.UploadReply) {
	a.UploadID, a.State, a.PartSize, a.Offset = s.id, s.state, s.PartSize, s.offset()
	a.RelayURL = h.uploadURLLocked() + "/upload/relay/" + s.id
	if s.state == message.UploadDone {
		a.FileID = s.id
	}
	for no := 1; int64(no-1)*s.PartSize < s.FileSize; no++ {
		if s.parts[no] || min(int64(no)*s.PartSize, s.FileSize) <= a.Offset {
			a.Stored = append(a.Stored, [2]int{no, no})
		}
	}
}

// uploadCompleteLocked checks and lists a file.
func (h *Hub) uploadCompleteLocked(s *uploading) bool {
	sum := sha256.Sum256(s.data)
	switch {
	case s.offset() != s.FileSize:
		return false
	case hex.EncodeToString(sum[:]) != s.SHA256:
		s.state = ""
		return false
	}
	s.state = message.UploadDone
	h.uploads.files = append(h.uploads.files, UploadedFile{s.device, s.id, s.FileName, s.Class, s.data})
	h.changedLocked()
	return true
}

// serveUpload is the hub's HTTP face, as far as uploads need it.
func (h *Hub) serveUpload(w http.ResponseWriter, r *http.Request) {
	part, isPart := strings.CutPrefix(r.URL.Path, "/upload/part/")
	id, isRelay := strings.CutPrefix(r.URL.Path, "/upload/relay/")
	h.mu.Lock()
	disturb := h.uploads.disturb
	h.mu.Unlock()
	if (isPart || isRelay) && disturb != nil && disturb(w, r) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if isPart || isRelay {
		h.mu.Lock()
		h.uploads.received += int64(len(body))
		h.mu.Unlock()
	}
	switch {
	case err != nil:
	case isPart && r.Method == http.MethodPut:
		w.WriteHeader(h.uploadPart(part, body))
	case isRelay && r.Method == http.MethodPatch:
		h.uploadPatch(w, r, id, body)
	case r.URL.Path == "/auth":
		h.uploadLogin(w, r, body)
	case r.URL.Path == "/upload":
		h.mu.Lock()
		d, ok := h.uploads.tokens[r.Header.Get("Password")]
		h.mu.Unlock()
		a := message.UploadReply{RetCode: message.CodeBadToken}
		if ok {
			a = h.uploadCall(d, body)
		}
		h.writeJSON(w, a)
	default:
		http.NotFound(w, r)
	}
}

func (h *Hub) writeJSON(w http.ResponseWriter, v any) {
	b, err := codec.Marshal(codec.JSON, v)
	if err != nil {
		h.log.Error("an answer can't be encoded", "err", err)
	}
	_, _ = w.Write(b) // whoever has gone does not read it
}

func (h *Hub) uploadLogin(w http.ResponseWriter, r *http.Request, body []byte) {
	var q struct{ ProductSN, DeviceSN string }
	if err := codec.Unmarshal(body, &q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d := ident.Device{Product: q.ProductSN, SN: q.DeviceSN}
	if secret := h.Secret(d); secret == "" || credential.SignBody(secret, body) != r.Header.Get("Authorization") {
		h.writeJSON(w, message.NewReply("", message.CodeSignature))
		return
	}
	h.mu.Lock()
	token := "t" + strconv.Itoa(len(h.uploads.tokens))
	h.uploads.tokens[token] = d
	h.mu.Unlock()
	h.writeJSON(w, struct {
		RetCode int
		Token   string
	}{0, token})
}

// uploadLocked is an open session by its id.
func (h *Hub) uploadLocked(id string) *uploading {
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 || n > len(h.uploads.sessions) || h.uploads.sessions[n-1].state == "" {
		return nil
	}
	return h.uploads.sessions[n-1]
}

func (h *Hub) uploadPart(word string, body []byte) int {
	id, rest, _ := strings.Cut(word, "-")
	text, digest, _ := strings.Cut(rest, "-")
	no, err := strconv.Atoi(text)
	sum := sha256.Sum256(body)
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.uploadLocked(id)
	if s == nil || err != nil {
		return http.StatusGone
	}
	from := int64(no-1) * s.PartSize
	if no < 1 || from >= s.FileSize || int64(len(body)) != min(s.PartSize, s.FileSize-from) {
		return http.StatusBadRequest
	}
	if hex.EncodeToString(sum[:]) != digest {
		return statusChecksum
	}
	copy(s.data[from:], body)
	s.parts[no] = true
	return http.StatusOK
}

// statusChecksum is tus's.
const statusChecksum = 460

func (h *Hub) uploadPatch(w http.ResponseWriter, r *http.Request, id string, body []byte) {
	at, err := strconv.ParseInt(r.Header.Get("Upload-Offset"), 10, 64)
	sum := sha256.Sum256(body)
	want, err2 := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Upload-Checksum"), "sha256 "))
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.uploadLocked(id)
	switch {
	case s == nil:
		w.WriteHeader(http.StatusGone)
	case err != nil || err2 != nil || at < 0 || at+int64(len(body)) > s.FileSize:
		w.WriteHeader(http.StatusBadRequest)
	case !bytes.Equal(want, sum[:]):
		w.WriteHeader(statusChecksum)
	case at != s.offset():
		w.WriteHeader(http.StatusConflict)
	default:
		copy(s.data[at:], body)
		s.relayed = at + int64(len(body))
		w.Header().Set("Upload-Offset", strconv.FormatInt(s.offset(), 10))
		w.WriteHeader(http.StatusNoContent)
	}
}
