package upload

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/protocol/message"
)

// partTries is how often a part is tried before the session is looked at anew.
const partTries = 3

// direct sends the parts that are not stored, some at a time: the first alone, as long as it is not known how fast they go.
func (u *Uploader) direct(ctx context.Context, f *File, s message.UploadReply) error {
	missing, stored := absent(f.Size, s)
	u.tell(f, stored)
	for len(missing) > 0 {
		n := len(missing)
		width := u.width(s.PartSize)
		if width < u.cfg.Parallel {
			n = width // then it is looked again how fast they went
		}
		sent, err := u.parts(ctx, f, s, missing[:n], width, stored)
		if err != nil {
			return err
		}
		stored, missing = stored+sent, missing[n:]
	}
	return nil
}

// parts sends parts, so many at a time, and returns how many bytes that were.
func (u *Uploader) parts(ctx context.Context, f *File, s message.UploadReply, list []int, width int, stored int64) (sent int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards sent
	width = min(width, len(list))
	for range width {
		wg.Go(func() {
			for no := range next {
				n, err := u.part(ctx, f, s, no, width)
				if err != nil {
					cancel(err) // the first is what Cause says
					continue
				}
				mu.Lock()
				sent += n
				u.tell(f, stored+sent)
				mu.Unlock()
			}
		})
	}
	for _, no := range list {
		select {
		case next <- no:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return sent, context.Cause(ctx)
}

// absent are the parts that are not stored, and how many bytes are.
func absent(size int64, s message.UploadReply) (list []int, stored int64) {
	stored = size
	there := s.Stored
	for no := 1; int64(no-1)*s.PartSize < size; no++ {
		for len(there) > 0 && there[0][1] < no {
			there = there[1:]
		}
		if len(there) > 0 && there[0][0] <= no {
			continue
		}
		list = append(list, no)
		stored -= min(int64(no)*s.PartSize, size) - int64(no-1)*s.PartSize
	}
	return list, stored
}

// part sends one part of width at a time, with a URL of its own each time.
func (u *Uploader) part(ctx context.Context, f *File, s message.UploadReply, no, width int) (n int64, err error) {
	from := int64(no-1) * s.PartSize
	to := min(from+s.PartSize, f.Size)
	for try := 1; ; try++ {
		if err := f.changed(); err != nil {
			return 0, err
		}
		err := u.tryPart(ctx, f, s.UploadID, no, width, from, to)
		switch {
		case err == nil:
			return to - from, nil
		case ctx.Err() != nil, try == partTries, errors.Is(err, ErrChanged), errors.Is(err, errGone), errors.Is(err, errRoute):
			return 0, err
		}
		if refused := (*RefusedError)(nil); errors.As(err, &refused) {
			return 0, err
		}
		u.log.Debug("part is sent again", "file", f.Name, "part", no, "err", err)
		u.count(func(s *Stats) { s.Retries++ })
		if err := u.pause(ctx, try); err != nil {
			return 0, err
		}
	}
}

func (u *Uploader) tryPart(ctx context.Context, f *File, id string, no, width int, from, to int64) error {
	sum, err := f.sum(from, to)
	if err != nil {
		return fmt.Errorf("upload: read part %d: %w", no, err)
	}
	a, err := u.ask(ctx, message.UploadRequest{Method: message.UploadParts, UploadID: id,
		Parts: []message.UploadPart{{No: no, SHA256: hex.EncodeToString(sum[:])}}})
	if err != nil {
		return err
	}
	if a.State == message.UploadDone {
		return nil
	}
	if len(a.Parts) != 1 || a.Parts[0].No != no {
		return errors.New("upload: the hub gives no URL for the part that was asked for")
	}
	began := time.Now()
	header := http.Header{}
	for name, v := range a.Parts[0].Header {
		header.Set(name, v)
	}
	resp, err := u.send(ctx, http.MethodPut, a.Parts[0].URL, header, f, from, to)
	if err != nil {
		return unreachable(err)
	}
	if err := verdict(resp.StatusCode); err != nil {
		return fmt.Errorf("part %d: %w", no, err)
	}
	u.went(to-from, time.Since(began), width)
	return nil
}

// unreachable marks the failure to connect at all, which another path may heal.
func unreachable(err error) error {
	var op *net.OpError
	var dns *net.DNSError
	if errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns) {
		return fmt.Errorf("%w: %w", errRoute, err)
	}
	return err
}

// verdict is what a status means.
func verdict(status int) error {
	switch {
	case status/100 == 2:
		return nil
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return fmt.Errorf("%w: status %d", errURL, status)
	case status == http.StatusNotFound || status == http.StatusGone:
		return fmt.Errorf("%w: status %d", errGone, status)
	case status == http.StatusBadRequest || status == statusChecksum:
		return fmt.Errorf("%w: status %d", errSum, status)
	}
	return fmt.Errorf("upload: status %d", status)
}

// send sends a piece of the file as the body of a request, and ends it when it makes no progress. The answer's body is read and gone.
func (u *Uploader) send(ctx context.Context, method, url string, header http.Header, f *File, from, to int64) (*http.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := newGuard(u.cfg.Stall, cancel)
	defer g.stop()
	body := &paced{u: u, ctx: ctx, g: g, r: io.NewSectionReader(f.Data, from, to-from)}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, fmt.Errorf("upload: %w", bare(err))
	}
	req.ContentLength, req.Header = to-from, header
	if to == from {
		req.Body = http.NoBody
	}
	resp, err := u.cfg.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("upload: %w", bare(err))
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if err := errors.Join(err, resp.Body.Close()); err != nil && resp.StatusCode/100 == 2 {
		return nil, fmt.Errorf("upload: %w", err)
	}
	return resp, nil
}

// pieceSize is how much is sent between two questions to Pace.
const pieceSize = 16 << 10

// paced reads a body as fast as it may be sent. It has no WriteTo, so that the transport reads it piece by piece.
type paced struct {
	u   *Uploader
	ctx context.Context //nolint:containedctx // a reader of one request
	g   *guard
	r   io.Reader
}

// Read is io.Reader's.
func (p *paced) Read(b []byte) (int, error) {
	if p.u.cfg.Pace != nil {
		b = b[:min(len(b), pieceSize)]
	}
	n, err := p.r.Read(b)
	if n > 0 && p.u.cfg.Pace != nil {
		p.g.stop() // to wait for one's turn is no stall
		if err := p.u.cfg.Pace(p.ctx, n); err != nil {
			return 0, err
		}
	}
	if n > 0 {
		p.g.progress()
		p.u.count(func(s *Stats) { s.Sent += int64(n) })
	}
	return n, err
}
