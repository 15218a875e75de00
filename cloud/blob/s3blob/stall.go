package s3blob

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
)

// errStalled ends a request whose bytes do not move.
var errStalled = fmt.Errorf("%w: the S3 service has stalled", blob.ErrUnavailable)

// impatient ends requests that make no progress: neither a body that is not taken nor one that does not come may hold its caller for ever. How long
// the service may think in between is the transport's ResponseHeaderTimeout.
type impatient struct {
	http.RoundTripper
	stall time.Duration
}

// RoundTrip implements http.RoundTripper.
func (p *impatient) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	w := &watch{stall: p.stall, cancel: cancel, ctx: ctx}
	own := r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		w.timer = time.AfterFunc(p.stall, w.end)
		own.Body = &sent{r.Body, w}
	}
	resp, err := p.RoundTripper.RoundTrip(own)
	w.rest()
	if err != nil {
		cancel(nil)
		return nil, w.name(err)
	}
	resp.Body = &received{resp.Body, w}
	return resp, nil
}

// watch ends a request after a time without progress.
type watch struct {
	stall  time.Duration
	timer  *time.Timer // nil before there was a body
	cancel context.CancelCauseFunc
	ctx    context.Context //nolint:containedctx // of one request
}

func (w *watch) end() { w.cancel(errStalled) }

// rest stops the clock.
func (w *watch) rest() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// name tells of an error whose cause is a stall as such.
func (w *watch) name(err error) error {
	if err != nil && context.Cause(w.ctx) == errStalled { //nolint:errorlint // it is this very one
		return errStalled
	}
	return err
}

// sent is the body of a request: as long as it is asked for, the service takes it. Behind its end the clock of the answer runs.
type sent struct {
	io.ReadCloser
	w *watch
}

// Read is io.Reader's.
func (s *sent) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	if err != nil {
		s.w.rest()
	} else {
		s.w.timer.Reset(s.w.stall)
	}
	return n, err
}

// received is the body of an answer.
type received struct {
	io.ReadCloser
	w *watch
}

// Read is io.Reader's.
func (r *received) Read(b []byte) (int, error) {
	if r.w.timer == nil {
		r.w.timer = time.AfterFunc(r.w.stall, r.w.end)
	} else {
		r.w.timer.Reset(r.w.stall)
	}
	n, err := r.ReadCloser.Read(b)
	r.w.rest()         // who reads may take its time
	if err == io.EOF { //nolint:errorlint // as it is
		return n, err
	}
	return n, r.w.name(err)
}

// Close is io.Closer's.
func (r *received) Close() error {
	r.w.rest()
	err := r.ReadCloser.Close()
	r.w.cancel(nil)
	return err
}
