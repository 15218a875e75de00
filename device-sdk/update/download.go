package update

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
)

// What can be wrong with a server, beside what net/http says.
var (
	errSlow    = failure.New(failure.Network, "update: the server is too slow")
	errAbsent  = failure.New(failure.Auth, "update: the server does not have it, or the URL has ended")
	errChanged = failure.New(failure.Server, "update: the file on the server has changed")
	errSize    = failure.New(failure.Hash, "update: the file on the server has not the size that was signed")
	errRange   = failure.New(failure.Server, "update: the server does not answer range requests as it should")
	errBusy    = failure.New(failure.Server, "update: the server has too much to do")
	errNowhere = failure.New(failure.Auth, "update: no source is left")
)

// Download is how images are downloaded. The zero value is good for most.
type Download struct {
	// TLS is for https; nil trusts the system's authorities. Use link.TLS.Config for the hub's own.
	TLS *tls.Config
	// MinRate is the lowest rate in bytes a second, measured over Stall, at which a server is not given up; 512 when zero.
	MinRate int64
	// Stall is how long a server may be silent or slower than MinRate; 30 s when zero.
	Stall time.Duration
	// Rounds is how often all sources are tried in turn before an update ends with NET or SRV. A connection that has brought something on, at MinRate or
	// faster, begins the count anew. 6 when zero.
	Rounds int
	// PauseMin and PauseMax bound the pauses between rounds, which double; 1 s and 1 min when zero.
	PauseMin, PauseMax time.Duration
	// Spent is what happens when the bytes of an assignment are downloaded and more are needed; Fail when zero.
	Spent Spent
	// More waits until more bytes may be downloaded, for Wait, and tells how many. Its error ends the update.
	More func(ctx context.Context, needed int64) (int64, error)
}

// Spent is what happens when a byte budget is spent.
type Spent int

// What may happen.
const (
	Fail     Spent = iota // the update fails with BUDGET; a later one goes on where it was
	Wait                  // Download.More is asked
	Continue              // nothing
)

func (d *Download) fill() {
	for _, f := range []struct {
		v *time.Duration
		d time.Duration
	}{{&d.Stall, 30 * time.Second}, {&d.PauseMin, time.Second}, {&d.PauseMax, time.Minute}} {
		if *f.v == 0 {
			*f.v = f.d
		}
	}
	if d.MinRate == 0 {
		d.MinRate = 512
	}
	if d.Rounds == 0 {
		d.Rounds = 6
	}
}

// ErrBudget says that the bytes of an assignment are downloaded.
var ErrBudget = failure.New(failure.Budget, "update: byte budget spent")

// downloader reads files from the first of several sources that has them. It is used by one goroutine.
type downloader struct {
	cfg     Download
	client  *http.Client
	log     *slog.Logger
	sources []string       // each ends in "/", or is a file's whole URL when only that one is read
	at      int            // the source in use
	strikes map[string]int // sources that gave wrong bytes
	net     int64          // bytes read, of this update
	budget  int64          // 0 is no limit
}

// redirects is how many are followed.
const redirects = 3

func newClient(d Download) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(true) // HTTP/2 holds a window of some MiB for each connection
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: d.TLS, Protocols: &protocols,
			DialContext:         (&net.Dialer{Timeout: d.Stall}).DialContext,
			TLSHandshakeTimeout: d.Stall, ResponseHeaderTimeout: d.Stall, MaxResponseHeaderBytes: 16 << 10,
			DisableCompression: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: d.Stall,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > redirects || via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// room is how many bytes may be read now, at least one. It waits for them if that is how it is to be.
func (d *downloader) room(ctx context.Context) (int64, error) {
	for d.budget > 0 && d.net >= d.budget && d.cfg.Spent != Continue {
		if d.cfg.Spent != Wait || d.cfg.More == nil {
			return 0, fmt.Errorf("%w: %d of %d bytes are read", ErrBudget, d.net, d.budget)
		}
		more, err := d.cfg.More(ctx, d.net+1-d.budget)
		if err != nil {
			return 0, err
		}
		d.budget += max(more, 0)
		if err := ctx.Err(); err != nil {
			return 0, context.Cause(ctx)
		}
	}
	if d.budget == 0 || d.cfg.Spent == Continue {
		return math.MaxInt64, nil
	}
	return d.budget - d.net, nil
}

// distrust notes that the source in use gave what was not signed, and goes on to the next; one that does it twice is dropped. It tells
// whether there is one to try.
func (d *downloader) distrust() bool {
	if len(d.sources) == 0 {
		return false
	}
	source := d.sources[d.at]
	d.log.Warn("a source gave other bytes than those that were signed", "source", redact(source))
	if d.strikes == nil {
		d.strikes = map[string]int{}
	}
	if d.strikes[source]++; d.strikes[source] > 1 {
		d.drop()
	} else {
		d.at = (d.at + 1) % len(d.sources)
	}
	return len(d.sources) > 0
}

func (d *downloader) drop() {
	d.sources = slices.Delete(slices.Clone(d.sources), d.at, d.at+1)
	if d.at >= len(d.sources) {
		d.at = 0
	}
}

// redact is a URL without what gives access.
func redact(source string) string {
	scheme, rest, _ := strings.Cut(source, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host + "/…"
}

// attempts counts failures that follow each other without much between.
type attempts struct {
	d        *downloader
	failures int
	pause    time.Duration
	absent   int  // sources that do not have it, in this round
	busy     int  // answers that the server has too much to do
	optional bool // that one does not have it, and the others fail, is an answer
}

// failed goes on to the next source after a failure. It returns the error when enough was tried.
func (a *attempts) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	d := a.d
	class := failure.Of(err)
	if class != failure.Network && class != failure.Server && class != failure.Auth {
		return err
	}
	d.log.Info("a source of firmware failed", "source", redact(d.sources[d.at]), "class", string(class), "err", err)
	if class == failure.Auth {
		a.absent++
	}
	var busy *busyError
	if errors.As(err, &busy) && a.busy < patience*d.cfg.Rounds {
		// A hub that serves as many as it may is no broken one: it is asked again, and again.
		a.busy++
		d.at = (d.at + 1) % len(d.sources)
		return sleep(ctx, busy.after/2+rand.N(busy.after/2+1))
	}
	a.failures++
	if a.failures >= d.cfg.Rounds*len(d.sources) || a.absent >= len(d.sources) {
		return err
	}
	if d.at = (d.at + 1) % len(d.sources); a.failures%len(d.sources) != 0 {
		return nil
	}
	if a.optional && a.absent > 0 {
		return errAbsent
	}
	a.absent = 0
	a.pause = min(max(2*a.pause, d.cfg.PauseMin), d.cfg.PauseMax)
	return sleep(ctx, a.pause/2+rand.N(a.pause/2+1))
}

// patience is how many times more often a server is asked again that has too much to do, maxAfter how long it may make a device wait.
const (
	patience = 50
	maxAfter = 5 * time.Minute
)

// busyError is errBusy, with the pause that the server asks for.
type busyError struct{ after time.Duration }

func (e *busyError) Error() string { return errBusy.Error() }

func (e *busyError) Unwrap() error { return errBusy }

// busyFor reads Retry-After in seconds; least is the pause when there is none.
func busyFor(h http.Header, least time.Duration) error {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return &busyError{least}
	}
	return &busyError{max(least, min(time.Duration(n)*time.Second, maxAfter))}
}

// sleep waits; its error is why ctx has ended.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// statusError is the failure that a status stands for.
func statusError(code int) error {
	switch code {
	case http.StatusNotFound, http.StatusGone, http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: status %d", errAbsent, code)
	case http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: status %d", errRange, code)
	}
	return failure.New(failure.Server, "update: the server answered with status %d", code)
}

// withoutURL is an error of net/http without its URL, which gives access and is logged by no one.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// networkError gives an error of a connection its class.
func networkError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if failure.Of(err) == failure.Unclassified {
		err = &failure.Error{Class: failure.Network, Reason: err}
	}
	return err
}
