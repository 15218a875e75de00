package ingress

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Uploads take files from devices. A *uplink.Refusal says to the device what is wrong.
type Uploads interface {
	Grant(ctx context.Context, dev *registry.Device, n NewUpload) (url, authorization string, err error)
	Receive(ctx context.Context, b UploadBody) error
}

// NewUpload is a file that a device wants to send.
type NewUpload struct {
	Name        string
	Size        int64
	MD5         string // hex
	ContentType string
}

// UploadBody is a file that a device sends.
type UploadBody struct {
	Token, Authorization, MD5 string
	Size                      int64 // -1: not said
	Data                      io.Reader
}

// uploadURL gives a device a URL to send a file to. Its answer has the URL before all else that a device searches for.
func (in *Ingress) uploadURL(ctx context.Context, r *http.Request) (message.Code, string, []byte) {
	if in.Uploads == nil {
		return message.CodeMissing, "no files are taken here", nil
	}
	body, code := read(r, maxAuthBody)
	if !code.OK() {
		return code, "", nil
	}
	req, code, text := parseAuth(body)
	if !code.OK() {
		return code, text, nil
	}
	n, code, text := parseUpload(body)
	if !code.OK() {
		return code, text, nil
	}
	g, err := in.Auth.Signed(ctx, req.device, body, strings.TrimSpace(r.Header.Get("Authorization")), r.RemoteAddr)
	if err != nil {
		return refused(err), "", nil
	}
	url, authorization, err := in.Uploads.Grant(ctx, g.Device, n)
	if err != nil {
		code, text := in.refusal("grant upload", err)
		return code, text, nil
	}
	in.seen(g.Device)
	more := codec.AppendString([]byte(`,"URL":`), url)
	return message.CodeOK, "", append(codec.AppendString(append(more, `,"Authorization":`...), authorization), '}')
}

// parseUpload reads what the body says of the file. FileSize is a number or a decimal string.
func parseUpload(body []byte) (NewUpload, message.Code, string) {
	var n NewUpload
	doc, err := codec.Decode(body, codec.Limits{Size: maxAuthBody, Depth: 4, Count: 64})
	if err != nil {
		return n, message.CodeBad, "body is no JSON"
	}
	defer doc.Release()
	text := func(name string) string {
		s, _ := doc.Root().Get(name).Str()
		return strings.Clone(s)
	}
	n = NewUpload{Name: text("FileName"), MD5: text("MD5"), ContentType: text("Content-Type")}
	size := doc.Root().Get("FileSize")
	switch size.Kind() {
	case codec.Int:
		n.Size, _ = size.Int()
	case codec.String:
		s, _ := size.Str()
		if n.Size, err = strconv.ParseInt(s, 10, 64); err != nil {
			return n, message.CodeBad, "FileSize is no number"
		}
	case codec.Missing, codec.Null:
		return n, message.CodeMissing, "FileSize is missing"
	default:
		return n, message.CodeBad, "FileSize is no number"
	}
	return n, message.CodeOK, ""
}

// refusal is what a device is told of an error.
func (in *Ingress) refusal(what string, err error) (message.Code, string) {
	var r *uplink.Refusal
	if errors.As(err, &r) {
		return r.Code, r.Reason
	}
	return in.fault(what, err), ""
}

const (
	// stallTime is how long a body that comes in may make no progress.
	stallTime = time.Minute
	// drainMax is how much of a refused body is read, so that a client that sends all of it before it reads gets the answer.
	drainMax = 16 << 20
)

// put takes a file in. There is no time for the whole of it, only for each piece.
func (in *Ingress) put(w http.ResponseWriter, r *http.Request) {
	token, _ := shortlink.Find(r)
	data := &stalling{r.Body, http.NewResponseController(w)}
	err := in.Uploads.Receive(r.Context(), UploadBody{Token: token, Authorization: strings.TrimSpace(r.Header.Get("Authorization")),
		MD5: strings.TrimSpace(r.Header.Get("Content-MD5")), Size: r.ContentLength, Data: data})
	if err == nil {
		in.requests.WithLabelValues("put", "0").Inc()
		write(w, http.StatusOK, []byte("{}"))
		return
	}
	code, text := in.refusal("receive file", err)
	in.requests.WithLabelValues("put", strconv.Itoa(int(code))).Inc()
	_, _ = io.Copy(io.Discard, io.LimitReader(data, drainMax)) // it is refused whatever it holds
	if text == "" {
		text = code.Text()
	}
	body := strconv.AppendInt([]byte(`{"RetCode":`), int64(code), 10)
	body = append(codec.AppendString(append(body, `,"ErrMsg":`...), message.Plain(text)), '}')
	write(w, putStatus(code), body)
}

// putStatus is the status of a refused file: for clients that look at it. Its reason must be short.
func putStatus(c message.Code) int {
	switch c {
	case message.CodeInternal:
		return http.StatusBadGateway // "Internal Server Error" is too long for small clients
	case message.CodeSignature, message.CodeBadToken, message.CodeTokenExpired, message.CodeDisabled, message.CodeNoSuchIdentity:
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// stalling reads a body as long as it makes progress.
type stalling struct {
	io.Reader
	rc *http.ResponseController
}

// Read is io.Reader's.
func (s *stalling) Read(b []byte) (int, error) {
	_ = s.rc.SetReadDeadline(time.Now().Add(stallTime)) // cannot be set where there is no connection, in tests
	return s.Reader.Read(b)
}
