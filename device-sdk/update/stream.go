package update

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/firmware/image"
)

// freshAfter is how many bytes of a connection make earlier failures forgotten, if they came at Download.MinRate: with less a hostile server
// would keep a device for ever.
const freshAfter = 1 << 10

// remote is a file that the sources have. It is an image.Source when its size is known.
type remote struct {
	d    *downloader
	path string // behind the source
	size int64  // -1 while unknown
	// known tells that the size is signed, or was offered: a file of another one is a wrong file.
	known bool
	tags  map[string]string
}

var _ image.Source = (*remote)(nil)

// file is a file of a size that is known; -1 is one that is not.
func (d *downloader) file(path string, size int64) *remote {
	return &remote{d: d, path: path, size: size, known: size >= 0, tags: map[string]string{}}
}

// stat asks how long the file is, with a request for its first byte. A file that is nowhere is errAbsent; an optional one that some
// source does not have, and that no other gives, is too.
func (d *downloader) stat(ctx context.Context, path string, optional bool) (*remote, error) {
	r := d.file(path, -1)
	s := &stream{r: r, ctx: ctx, left: 1, attempts: attempts{d: d, optional: optional}}
	defer s.Close()
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		return nil, err
	}
	return r, nil
}

// Size is how long the file is.
func (r *remote) Size() int64 { return r.size }

// Range reads n bytes from off. It goes on by itself, with the next source where need be; its error is the last one when all have failed.
func (r *remote) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	s := &stream{r: r, ctx: ctx, off: off, left: n, attempts: attempts{d: r.d}}
	if n > 0 {
		if err := s.connect(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// stream is a range of a file, over as many connections as it takes.
type stream struct {
	r        *remote
	ctx      context.Context // of the Range; a reader has no other
	off      int64
	left     int64
	run      int64     // bytes since the last failure
	began    time.Time // when the present connection was asked for
	loose    bool      // the size need not be known: what ends is whole
	attempts attempts

	body   io.ReadCloser // nil between connections
	cancel context.CancelCauseFunc
	guard  *guard
}

// Read reads on. It returns no more than was asked for, whatever a server sends.
func (s *stream) Read(p []byte) (int, error) {
	for s.left > 0 && len(p) > 0 {
		if s.body == nil {
			if err := s.connect(); err != nil {
				return 0, err
			}
		}
		room, err := s.r.d.room(s.ctx)
		if err != nil {
			return 0, err
		}
		p = p[:min(int64(len(p)), s.left, room)]
		s.guard.enter()
		n, err := s.body.Read(p)
		s.guard.leave(n)
		s.off, s.left, s.run = s.off+int64(n), s.left-int64(n), s.run+int64(n)
		s.r.d.net += int64(n)
		if n > 0 {
			return n, nil
		}
		if s.loose && s.r.size < 0 && errors.Is(err, io.EOF) {
			s.left = 0
		} else if err != nil {
			if err = s.lost(networkError(s.cause(err))); err != nil {
				return 0, err
			}
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	return 0, io.EOF
}

// cause is why the connection was given up, if it was us.
func (s *stream) cause(err error) error {
	if s.guard != nil && s.guard.fired() {
		return errSlow
	}
	return err
}

// lost ends a connection and decides whether there is another.
func (s *stream) lost(err error) error {
	s.disconnect()
	if s.run >= freshAfter && float64(s.run) >= float64(s.r.d.cfg.MinRate)*time.Since(s.began).Seconds() {
		s.attempts = attempts{d: s.r.d, optional: s.attempts.optional}
	}
	s.run = 0
	return s.attempts.failed(s.ctx, err)
}

// connect opens a connection for what is left.
func (s *stream) connect() error {
	for {
		if len(s.r.d.sources) == 0 {
			return errNowhere
		}
		if err := s.ctx.Err(); err != nil {
			return context.Cause(s.ctx)
		}
		if _, err := s.r.d.room(s.ctx); err != nil {
			return err
		}
		err := s.open()
		if err == nil {
			return nil
		}
		if err := s.lost(err); err != nil {
			return err
		}
	}
}

func (s *stream) open() error {
	d := s.r.d
	s.began = time.Now()
	source := d.sources[d.at]
	ctx, cancel := context.WithCancelCause(s.ctx)
	s.cancel, s.guard = cancel, newGuard(d.cfg.Stall, d.cfg.MinRate, cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source+s.r.path, nil)
	if err != nil {
		return networkError(withoutURL(err))
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", s.off, s.off+s.left-1))
	if tag := s.r.tags[source]; tag != "" {
		req.Header.Set("If-Range", tag)
	}
	s.guard.enter()
	res, err := d.client.Do(req)
	s.guard.leave(0)
	if err != nil {
		return networkError(s.cause(withoutURL(err)))
	}
	s.body = res.Body
	return s.check(res, source)
}

// check holds an answer against what was asked for.
func (s *stream) check(res *http.Response, source string) error {
	total := int64(-1)
	switch {
	case res.StatusCode == http.StatusPartialContent:
		var ok bool
		if total, ok = contentRange(res.Header.Get("Content-Range"), s.off); !ok {
			return errRange
		}
	case res.StatusCode == http.StatusOK && s.off == 0:
		total = res.ContentLength
	case res.StatusCode == http.StatusOK:
		return errChanged // or it does not know ranges
	case res.StatusCode == http.StatusServiceUnavailable:
		return busyFor(res.Header, s.r.d.cfg.PauseMin)
	default:
		return statusError(res.StatusCode)
	}
	if s.r.size < 0 {
		if total < 1 && !s.loose {
			return errRange
		}
		s.r.size = total
	}
	if total >= 0 && total != s.r.size {
		if s.r.known {
			return fmt.Errorf("%w: %d bytes instead of %d", errSize, total, s.r.size)
		}
		return fmt.Errorf("%w: %d bytes instead of %d", errChanged, total, s.r.size)
	}
	if tag := res.Header.Get("Etag"); !strings.HasPrefix(tag, "W/") {
		s.r.tags[source] = tag
	}
	return nil
}

// contentRange reads "bytes a-b/total"; a must be from.
func contentRange(text string, from int64) (total int64, ok bool) {
	rest, ok := strings.CutPrefix(text, "bytes "+strconv.FormatInt(from, 10)+"-")
	_, size, ok2 := strings.Cut(rest, "/")
	total, err := strconv.ParseInt(size, 10, 64)
	return total, ok && ok2 && err == nil && total > from
}

func (s *stream) disconnect() {
	if s.guard != nil {
		s.guard.stop()
	}
	if s.cancel != nil {
		s.cancel(nil)
	}
	if s.body != nil {
		_ = s.body.Close() // it was only read
	}
	s.body, s.cancel, s.guard = nil, nil, nil
}

// Close ends the stream.
func (s *stream) Close() error {
	if s.body != nil && s.left == 0 {
		// The end is read, so that the connection can be used again.
		s.guard.enter()
		_, _ = io.CopyN(io.Discard, s.body, 1)
		s.guard.leave(0)
	}
	s.disconnect()
	return nil
}

// whole reads a file of at most most bytes, and one byte more of a longer one.
func (r *remote) whole(ctx context.Context, most int64) ([]byte, error) {
	s := &stream{r: r, ctx: ctx, left: most + 1, loose: true, attempts: attempts{d: r.d}}
	defer s.Close()
	if err := s.connect(); err != nil {
		return nil, err
	}
	if r.size >= 0 {
		s.left = min(r.size, most+1)
	}
	b, err := io.ReadAll(s)
	if err != nil {
		return nil, networkError(err)
	}
	return b, nil
}

// isAbsent tells whether an error says that no source has a file.
func isAbsent(err error) bool { return errors.Is(err, errAbsent) }
