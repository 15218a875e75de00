package ota

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Watchdog is a Linux watchdog that the agent feeds while it runs. When it hangs, the device starts anew, and a slot on trial loses a try.
type Watchdog struct {
	// Device is usually /dev/watchdog; "" is none.
	Device string
	// Every is how often it is fed; 10 s when zero.
	Every time.Duration
}

type watchdog struct {
	cfg Watchdog
	log *slog.Logger

	mu   sync.Mutex // guards the fields below
	last time.Time
	err  error
}

var errNotFed = errors.New("ota: the watchdog was not fed yet")

// fed tells whether the watchdog was fed lately, if there is one.
func (w *watchdog) fed() error {
	if w.cfg.Device == "" {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return w.err
	case time.Since(w.last) > 3*w.every():
		return errNotFed
	}
	return nil
}

func (w *watchdog) every() time.Duration {
	if w.cfg.Every == 0 {
		return 10 * time.Second
	}
	return w.cfg.Every
}

// run feeds it until ctx ends, and then leaves it alone if the driver lets it.
func (w *watchdog) run(ctx context.Context) {
	if w.cfg.Device == "" {
		return
	}
	f, err := os.OpenFile(w.cfg.Device, os.O_WRONLY, 0)
	if err != nil {
		w.note(fmt.Errorf("ota: watchdog: %w", err))
		w.log.Error("the watchdog can't be opened; no update is found well", "err", err)
		return
	}
	tick := time.NewTicker(w.every())
	defer tick.Stop()
	for ctx.Err() == nil {
		_, err := f.Write([]byte{1})
		w.note(err)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	_, err = f.WriteString("V") // the magic close
	if err = errors.Join(err, f.Close()); err != nil {
		w.log.Warn("the watchdog could not be left", "err", err)
	}
}

func (w *watchdog) note(err error) {
	w.mu.Lock()
	w.last, w.err = time.Now(), err
	w.mu.Unlock()
}
