// Package httpsource reads packs from servers that answer HTTP range requests.
//
// It promises that a server which sends something else than it was asked for is an error, and leaves retries, timeouts and credentials to
// the client that it is given, and the check of what it reads to those who read it.
package httpsource

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/firmware/failure"
)

// ErrRange is returned when a server does not answer a range request with that range.
var ErrRange = failure.New(failure.Server, "httpsource: the server does not answer range requests")

// StatusError is an answer that is neither the range nor the whole.
type StatusError struct {
	URL    string
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("get %s: %d %s", e.URL, e.Status, http.StatusText(e.Status))
}

// classOf tells what to do about an answer: a new URL helps against one that has ended, time against most others.
func classOf(status int) failure.Class {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return failure.Auth
	}
	return failure.Server
}

// Source is a file on a server. It is an image.Source.
type Source struct {
	client *http.Client
	url    string
	size   int64
}

// Open asks the server how long the file at url is.
func Open(ctx context.Context, client *http.Client, url string) (*Source, error) {
	s := &Source{client: client, url: url, size: -1}
	body, err := s.Range(ctx, 0, 1)
	if err != nil {
		return nil, err
	}
	return s, body.Close()
}

// Size is how long the file is.
func (s *Source) Size() int64 { return s.size }

// Range reads n bytes at off.
func (s *Source) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	req.Header.Set("Accept-Encoding", "identity") // a range of something compressed would be of no use
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, &failure.Error{Class: failure.Network, Reason: err}
	}
	if err := s.check(resp, off, n); err != nil {
		_ = resp.Body.Close() // the answer is of no use
		return nil, err
	}
	return resp.Body, nil
}

// check holds that an answer is the range that was asked for, of a file that is still as long as it was.
func (s *Source) check(resp *http.Response, off, n int64) error {
	switch resp.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK:
		return fmt.Errorf("%w: %s", ErrRange, s.url)
	default:
		return &failure.Error{Class: classOf(resp.StatusCode), Reason: &StatusError{s.url, resp.StatusCode}}
	}
	header := resp.Header.Get("Content-Range")
	span, total, ok := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if !ok || err != nil || size < 1 || span != fmt.Sprintf("%d-%d", off, off+n-1) || s.size >= 0 && size != s.size {
		return fmt.Errorf("%w: asked for %d bytes at %d of %s, got %q", ErrRange, n, off, s.url, header)
	}
	if s.size < 0 {
		s.size = size
	}
	return nil
}
