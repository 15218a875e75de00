// Package upload sends what settles in spool folders to the hub, behind everything else that the gateway has to say.
//
// Other programs write files into folders; a rule says which (a glob), when one is finished (it has not changed for a while), and what becomes of
// it when the hub has it: it is deleted, kept or moved. Files go one at a time by device-sdk/upload, which resumes them after any crash; within a
// window of the day, a rate and a quota a day, and not while telemetry waits (Config.Busy).
//
// It promises: a file is deleted or moved only when the hub has listed it, whole; one that was killed in between is not sent twice; a file that
// changes while it is sent is sent anew when it has settled. Links are not followed, neither of files nor of folders below the part of the glob that is
// no pattern. It leaves how bytes go to device-sdk/upload.
package upload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	sdk "github.com/hawser-iot/hawser/device-sdk/upload"
)

// After is what becomes of a file that the hub has.
type After string

// What may become of it.
const (
	Delete After = "delete"
	Keep   After = "keep"
	Move   After = "move"
)

// Rule says which files are sent, and how.
type Rule struct {
	Glob     string // an absolute path whose elements may be patterns of path/filepath
	Class    string // as the hub lists them
	Settle   time.Duration
	After    After
	MoveTo   string // a folder on the same file system, for Move
	Compress bool   // with zstd: the hub gets NAME.zst
	MaxSize  int64  // larger files are left alone; 0 is no bound
}

// Config says what is sent when.
type Config struct {
	Rules []Rule
	Dir   string        // of the agent's own, for compressed copies
	Every time.Duration // how often folders are looked through
	Rate  int64         // bytes a second; 0 is as fast as it goes
	Day   int64         // bytes a day (UTC); 0 is no bound
	// Window is when files are sent; the zero Window is always.
	Window Window
	Path   sdk.Path
	// Hub is asked about sessions, Client carries the bytes.
	Hub    sdk.Hub
	Client *http.Client
	// Busy tells that something else waits to be sent, which goes first.
	Busy  func() bool
	State State
	// RetryMin is the first pause after a failure, 1 s when zero; later ones double.
	RetryMin time.Duration
}

// State keeps small values by key over restarts; a *state.Bucket is one. Nothing is lost without it but what need not be asked of the hub again.
type State interface {
	Get(key string) []byte // nil for what is not there
	Keys() []string
	Put(key string, value []byte) // nil removes the key
	// PutNow returns when the value is on the disk.
	PutNow(key string, value []byte) error
}

// Stats are counters since New, and what waits now.
type Stats struct {
	Files   int64  `json:"files"`   // that arrived
	Failed  int64  `json:"failed"`  // tries
	Bytes   int64  `json:"bytes"`   // that were sent, those that did not arrive too
	Waiting int    `json:"waiting"` // files that have settled and are not sent
	Sending string `json:"sending,omitempty"`
	// Of the file that is being sent: the bytes that the hub has, and all of them, both compressed where the file is. Rate is bytes a second of late.
	Done  int64 `json:"done,omitempty"`
	Total int64 `json:"total,omitempty"`
	Rate  int64 `json:"rate,omitempty"`
}

// Upload sends files. Make it with New, then call Run.
type Upload struct {
	cfg   Config
	log   *slog.Logger
	sdk   *sdk.Uploader
	rate  bucket
	speed meter
	day   *quota
	seen  map[string]stamp     // as files were at the last look
	later map[string]time.Time // files that were refused, by when to try again
	now   func() time.Time

	// mu guards the fields below.
	mu    sync.Mutex
	stats Stats
	stop  context.CancelCauseFunc // ends the file that is being sent
}

// Validate names the rule or field that is wrong.
func (c *Config) Validate() error {
	for i, r := range c.Rules {
		_, err := filepath.Match(r.Glob, "")
		switch {
		case err != nil || !filepath.IsAbs(r.Glob):
			return fmt.Errorf("rules[%d].glob: %q is no absolute path with patterns", i, r.Glob)
		case r.After != Delete && r.After != Keep && r.After != Move:
			return fmt.Errorf("rules[%d].after: %q is none of delete, keep, move", i, r.After)
		case (r.After == Move) != (r.MoveTo != "") || r.MoveTo != "" && !filepath.IsAbs(r.MoveTo):
			return fmt.Errorf("rules[%d].move_to: an absolute path, for after: move alone", i)
		case r.Settle < time.Second || r.Settle > 24*time.Hour:
			return fmt.Errorf("rules[%d].settle: %v is outside 1s..24h", i, r.Settle)
		case r.MaxSize < 0:
			return fmt.Errorf("rules[%d].max_size: less than nothing", i)
		}
	}
	switch {
	case c.Every < time.Second || c.Every > time.Hour:
		return fmt.Errorf("every: %v is outside 1s..1h", c.Every)
	case c.Rate < 0 || c.Rate > 0 && c.Rate < minRate:
		return fmt.Errorf("rate: %d: 0, or at least %d bytes a second", c.Rate, minRate)
	case c.Day < 0:
		return errors.New("day: less than nothing")
	}
	return nil
}

// New returns an Upload; cfg must be valid.
func New(cfg Config, log *slog.Logger) (*Upload, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("upload: %w", err)
	}
	u := &Upload{cfg: cfg, log: log, now: time.Now, rate: bucket{rate: cfg.Rate}, seen: map[string]stamp{}, later: map[string]time.Time{}}
	u.day = openQuota(cfg.State, cfg.Day)
	u.sdk = sdk.New(sdk.Config{Hub: cfg.Hub, Client: cfg.Client, Path: cfg.Path, Pace: u.pace, Tries: tries, RetryMin: cfg.RetryMin,
		Progress: func(f *sdk.File, stored int64) { u.note(func(s *Stats) { s.Done, s.Total = stored, f.Size }) }}, log)
	return u, nil
}

// tries is after how many failures in turn another file gets its chance.
const tries = 5

// refusedFor is how long a file is left alone that the hub does not want.
const refusedFor = time.Hour

// Stats returns the counters.
func (u *Upload) Stats() Stats {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.stats
	s.Bytes = u.sdk.Stats().Sent
	if s.Sending != "" {
		s.Rate = u.speed.rate(time.Now())
	}
	return s
}

func (u *Upload) note(change func(*Stats)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.stats)
}

// Run sends until ctx ends, and returns nil then.
func (u *Upload) Run(ctx context.Context) error {
	tick := time.NewTicker(u.cfg.Every)
	defer tick.Stop()
	for {
		u.round(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// round looks through the folders once and sends what has settled, as long as it may.
func (u *Upload) round(ctx context.Context) {
	list := u.look()
	for i, f := range list {
		now := u.now()
		end, open := u.cfg.Window.ends(now)
		if ctx.Err() != nil || !open || u.day.left(now) <= 0 {
			return
		}
		u.note(func(s *Stats) { s.Waiting, s.Sending, s.Done, s.Total = len(list)-i, f.path, 0, f.size })
		err := u.sendUntil(ctx, end.Sub(now), f)
		u.note(func(s *Stats) { s.Waiting, s.Sending, s.Done, s.Total = len(list)-i-1, "", 0, 0 })
		u.outcome(ctx, f, err)
	}
	u.day.save()
}

// sendUntil sends a file for as long as the window is open and the day's bytes last.
func (u *Upload) sendUntil(ctx context.Context, open time.Duration, f found) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ctx, cancel := context.WithTimeout(ctx, open)
	defer cancel()
	u.mu.Lock()
	u.stop = stop
	u.mu.Unlock()
	return u.send(ctx, f)
}

// outcome notes what became of a file.
func (u *Upload) outcome(ctx context.Context, f found, err error) {
	refused := (*sdk.RefusedError)(nil)
	switch {
	case err == nil:
		u.note(func(s *Stats) { s.Files++ })
		u.log.Info("file sent", "file", f.path, "bytes", f.size)
		return
	case ctx.Err() != nil, errors.Is(err, errQuota), errors.Is(err, context.DeadlineExceeded):
		return // it goes on later
	case errors.Is(err, sdk.ErrChanged):
		u.log.Info("file changed while it was sent, it is sent anew", "file", f.path)
		return
	case errors.As(err, &refused):
		u.later[f.path] = u.now().Add(refusedFor)
	}
	u.note(func(s *Stats) { s.Failed++ })
	u.log.Warn("file not sent", "file", f.path, "err", err)
}
