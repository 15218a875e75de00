package actionapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
)

// nothing is an answer without members of its own.
type nothing struct{}

// withCode is an answer that is an error and has members all the same.
type withCode struct {
	error
	body any
}

func (w withCode) Unwrap() error { return w.error }

// write answers: HTTP's status is always 200, the RetCode tells.
func (f *face) write(ctx context.Context, w http.ResponseWriter, c *call, body any, err error) {
	code := f.codeOf(err)
	title := c.title
	if c.action == nil {
		title = "unknown"
	}
	f.metrics.requests.WithLabelValues(title, strconv.Itoa(int(code))).Inc()
	b := strconv.AppendInt([]byte(`{"RetCode":`), int64(code), 10)
	if c.known { // before it is known who asks nothing is said of the action
		b = append(append(b, `,"Action":"`...), c.title...)
		b = append(b, `Response"`...)
	}
	if err != nil {
		if code == codeInternal && ctx.Err() == nil {
			f.log.Error("Action API request failed", "action", c.title, "request", c.request, "err", err)
		}
		b = append(append(b, `,"Message":`...), encode(f.textOf(err, c.request))...)
		if e, ok := err.(withCode); ok { //nolint:errorlint // it is never wrapped
			body = e.body
		}
	}
	if fields := encode(body); len(fields) > len(`{}`) && fields[0] == '{' {
		b = append(append(b, ','), fields[1:]...)
	} else {
		b = append(b, '}')
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(append(b, '\n')) // the client may have gone
}

// encode is v as JSON, < and > as they are.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil { // never: the answers are our own
		return nil
	}
	return bytes.TrimSpace(b.Bytes())
}
