package route

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// LoadFile reads a file of routes and puts it into force. When it is wrong the error says where, and the last good one stays.
func (r *Router) LoadFile(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	t, err := Parse(b, r.cfg, r.owner.Shadow != nil)
	if err == nil {
		err = t.bind(r.owner)
	}
	if err != nil {
		return fmt.Errorf("routes %s: %w", path, err)
	}
	r.Replace(t)
	r.log.Info("routes are in force", "file", path, "routes", len(t.Routes), "timers", len(t.Timers))
	return nil
}

// Run makes the timers' messages until ctx ends. A table that replaces another starts its timers anew.
func (r *Router) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		part, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		for _, t := range r.table.Load().Timers {
			wg.Go(func() { r.tick(part, t) })
		}
		select {
		case <-r.fresh:
		case <-ctx.Done():
		}
		stop()
		wg.Wait()
	}
	return nil
}

// tick makes one timer's messages. A timer that was late, because the gateway slept, fires once.
func (r *Router) tick(ctx context.Context, t Timer) {
	for {
		wait := t.Every
		if wait == 0 {
			wait = time.Until(time.Now().Truncate(time.Minute).Add(time.Minute))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case now := <-timer.C:
			if t.Every == 0 && !t.Cron.At(now) {
				continue
			}
			r.fire(t, now)
		}
	}
}

func (r *Router) fire(t Timer, now time.Time) {
	body := t.Payload
	if len(body) == 0 {
		body = strconv.AppendInt([]byte(`{"Time":`), now.UnixMilli(), 10)
		body = append(body, '}')
	}
	name := LocalPrefix + "timer/" + t.Name
	r.down.Publish(name, body, 0)
	r.Local(name, body, 0, func(err error) {
		if err != nil {
			r.log.Warn("what a timer caused is lost", "timer", t.Name, "err", err)
		}
	})
}
