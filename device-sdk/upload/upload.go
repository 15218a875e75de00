// Package upload sends files to the hub so that they arrive, whatever happens on the way.
//
// A file goes in one session that the hub keeps: it is found again by its key after a lost connection, a restart of the program or of the hub,
// and goes on with what is not stored yet. Parts go directly to the object store, with URLs that the hub signs and a checksum each; or, where the
// link is weak or there is no way to the store, by the relay over the hub, 256 KiB at a time. The hub lists the file when the whole of it has its
// digest.
//
//	hub := upload.NewHTTP("https://hub.example", id, secret, client)
//	up := upload.New(upload.Config{Hub: hub, Client: client}, log)
//	f, err := upload.Open("/var/spool/cam/1.jpg")
//	…
//	defer f.Close()
//	fileID, err := up.Send(ctx, f)
//
// The package keeps nothing on the disk: what is stored is what the hub says. Sending the same file again costs one question. It resends, after
// being killed at any moment, at most one part, or what goes in ten seconds where that is more; by the relay one patch.
//
// It needs net/http and no S3 library, and leaves the connection for questions to Hub: HTTP with a token, or MQTT.
package upload

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/protocol/message"
)

// Hub is asked about sessions; *HTTP and *MQTT are one. A refusal is an answer with a RetCode, no error.
type Hub interface {
	Ask(ctx context.Context, r message.UploadRequest) (message.UploadReply, error)
}

// Path is a way that bytes go.
type Path int

// The paths.
const (
	Auto   Path = iota // directly, and by the relay where that fails
	Direct             // to the object store
	Relay              // over the hub
)

// Config says how files are sent. Only Hub must be set.
type Config struct {
	Hub    Hub
	Client *http.Client // for parts and patches; http.DefaultClient when nil
	Path   Path
	// Parallel is how many parts may be on their way at a time, 1 to 4; 1 when zero. What is on its way is sent again when the program is killed, for
	// an object store keeps nothing of half a part: so there are never more at a time than go in ten seconds, and one until it is known how fast that is.
	Parallel int
	// PartSize fixes the size of parts, bytes; when zero it follows the size of the file and how fast the last parts went, 5 to 64 MiB.
	PartSize int64
	// Stall is how long a part or patch may make no progress; 30 s when zero.
	Stall time.Duration
	// RetryMin and RetryMax bound the pauses after a failure, which double and are drawn at random; 1 s and 2 min when zero.
	RetryMin, RetryMax time.Duration
	// Tries is after how many failures in turn, without anything stored between them, Send gives up; never when zero.
	Tries int
	// Pace is asked before each n bytes are sent, and waits for as long as they must: for a bandwidth limit, or for traffic that goes first.
	Pace func(ctx context.Context, n int) error
	// Progress is told what is stored of a file, bytes.
	Progress func(f *File, stored int64)
}

var (
	// ErrChanged: the file is no longer what it was when its digest was made. Open it again.
	ErrChanged = errors.New("upload: the file changed while it was sent")
	// ErrGone: the hub knows nothing of the session any more; Send begins another by itself.
	errGone = errors.New("upload: the session is gone")
	errURL  = errors.New("upload: the URL is not taken any more")
	// errRoute: there is no connection to where the parts go.
	errRoute = errors.New("upload: no way to the object store")
	errSum   = errors.New("upload: other bytes arrived than were sent")
	// errOther: all of it arrived, and it is not what the digest is of.
	errOther = fmt.Errorf("%w: the whole has another digest", errGone)
)

// RefusedError is what the hub does not want: the file's size, name or class, or what the device has already.
type RefusedError struct {
	Code    message.Code
	Message string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("upload: refused with code %d: %s", int(e.Code), e.Message)
}

// Stats are counters since New.
type Stats struct {
	Sent    int64 // bytes of files that were written to connections, those that did not arrive too
	Files   int64 // that arrived
	Retries int64
}

// Uploader sends files. It is safe for concurrent use.
type Uploader struct {
	cfg Config
	log *slog.Logger

	// mu guards the fields below.
	mu      sync.Mutex
	stats   Stats
	rate    float64   // bytes a second of the last parts, those that went at the same time together
	noRoute time.Time // until then the object store is not tried
}

// New returns an Uploader.
func New(cfg Config, log *slog.Logger) *Uploader {
	if cfg.Client == nil {
		cfg.Client = http.DefaultClient
	}
	cfg.Parallel = min(max(cfg.Parallel, 1), 4)
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{{&cfg.Stall, 30 * time.Second}, {&cfg.RetryMin, time.Second}, {&cfg.RetryMax, 2 * time.Minute}} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	return &Uploader{cfg: cfg, log: log}
}

// Stats returns the counters.
func (u *Uploader) Stats() Stats {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stats
}

func (u *Uploader) count(change func(*Stats)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.stats)
}

// Send sends a file and returns its id at the hub when it is listed there. It tries for as long as ctx, or Config.Tries, allows. Errors are
// ErrChanged, a *RefusedError, that of ctx, or the last failure.
func (u *Uploader) Send(ctx context.Context, f *File) (id string, err error) {
	weak := false // direct parts broke off twice in turn
	for failed := 0; ; {
		before := f.stored.Load()
		id, err := u.attempt(ctx, f, weak)
		if err == nil {
			u.count(func(s *Stats) { s.Files++ })
			return id, nil
		}
		if why := f.changed(); why != nil {
			return "", why
		}
		if refused := (*RefusedError)(nil); ctx.Err() != nil || errors.Is(err, ErrChanged) || errors.As(err, &refused) {
			return "", errors.Join(ctx.Err(), err)
		}
		if failed++; f.stored.Load() > before {
			failed = 1
		}
		if failed == u.cfg.Tries {
			return "", err
		}
		weak = weak || failed >= 2
		u.count(func(s *Stats) { s.Retries++ })
		u.log.Debug("upload goes on later", "file", f.Name, "err", err)
		if err := u.pause(ctx, failed); err != nil {
			return "", err
		}
	}
}

// pause waits after the n-th failure in turn.
func (u *Uploader) pause(ctx context.Context, n int) error {
	d := min(u.cfg.RetryMin<<min(n-1, 20), u.cfg.RetryMax)
	return sleep(ctx, d/2+rand.N(d/2+1))
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt asks what is stored, sends the rest and has the hub check the whole.
func (u *Uploader) attempt(ctx context.Context, f *File, weak bool) (string, error) {
	if err := f.changed(); err != nil {
		return "", err
	}
	s, err := u.ask(ctx, message.UploadRequest{Method: message.UploadInit, FileName: f.Name, FileSize: f.Size, Class: f.Class,
		ContentType: f.ContentType, Key: f.Key, SHA256: hex.EncodeToString(f.SHA256[:]), PartSize: u.partSize(f.Size)})
	if err != nil {
		return "", err
	}
	if s.State == message.UploadDone {
		return s.FileID, nil
	}
	if s.PartSize <= 0 {
		return "", errors.New("upload: the hub names no size of parts")
	}
	if u.relays(weak) {
		err = u.relay(ctx, f, s)
	} else if err = u.direct(ctx, f, s); errors.Is(err, errRoute) && u.cfg.Path == Auto {
		u.avoid()
		err = u.relay(ctx, f, s)
	}
	if err != nil {
		return "", err
	}
	return u.complete(ctx, f, s.UploadID)
}

// routeRetry is how long the object store is not tried after there was no way to it.
const routeRetry = 10 * time.Minute

func (u *Uploader) avoid() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.noRoute = time.Now().Add(routeRetry)
}

func (u *Uploader) relays(weak bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cfg.Path == Relay || u.cfg.Path == Auto && (weak || time.Now().Before(u.noRoute))
}

// partTime is how long a part is to take: what is lost when it breaks off.
const partTime = 10 * time.Second

// partSize is what parts are to have; the hub has the last word.
func (u *Uploader) partSize(size int64) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.cfg.PartSize > 0:
		return u.cfg.PartSize
	case u.rate > 0:
		return int64(u.rate*partTime.Seconds()) / int64(u.cfg.Parallel)
	}
	return size / 200
}

// width is how many parts of a size may be on their way: no more than go in partTime, and one until that is known.
func (u *Uploader) width(part int64) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return min(max(int(u.rate*partTime.Seconds()/float64(max(part, 1))), 1), u.cfg.Parallel)
}

// went notes how fast a part went, of so many at a time.
func (u *Uploader) went(n int64, took time.Duration, width int) {
	if took <= 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	r := float64(n) / took.Seconds() * float64(width)
	if u.rate > 0 {
		r = (r + 3*u.rate) / 4
	}
	u.rate = r
}

// ask asks the hub; what it refuses is an error.
func (u *Uploader) ask(ctx context.Context, r message.UploadRequest) (message.UploadReply, error) {
	a, err := u.cfg.Hub.Ask(ctx, r)
	switch {
	case err != nil:
		return a, err
	case a.RetCode == message.CodeOK:
		return a, nil
	case a.RetCode == message.CodeInternal:
		return a, fmt.Errorf("upload: the hub cannot now: %s", a.Message)
	case a.RetCode == message.CodeBad && r.Method == message.UploadComplete:
		return a, fmt.Errorf("%w: %s", errOther, a.Message)
	case a.RetCode == message.CodeMissing && r.UploadID != "",
		a.RetCode == message.CodeRange && r.Method == message.UploadComplete:
		return a, fmt.Errorf("%w: %s", errGone, a.Message) // begun again, or what is missing is sent
	}
	return a, &RefusedError{a.RetCode, a.Message}
}

// complete has the hub check the file, which it may do for long.
func (u *Uploader) complete(ctx context.Context, f *File, id string) (string, error) {
	for {
		if err := f.changed(); err != nil {
			return "", err
		}
		a, err := u.ask(ctx, message.UploadRequest{Method: message.UploadComplete, UploadID: id})
		if errors.Is(err, errOther) { // to send it once more helps if the bytes are still those of the digest
			if sum, errRead := f.sum(0, f.Size); errRead == nil && sum != f.SHA256 {
				err = fmt.Errorf("%w: it has another digest than when it was opened", ErrChanged)
			}
		}
		if err != nil {
			return "", err
		}
		if a.State == message.UploadDone {
			return a.FileID, nil
		}
		if err := sleep(ctx, u.cfg.RetryMin); err != nil {
			return "", err
		}
	}
}

// tell notes how much is stored.
func (u *Uploader) tell(f *File, stored int64) {
	f.stored.Store(stored)
	if u.cfg.Progress != nil {
		u.cfg.Progress(f, stored)
	}
}
