package link

import (
	"context"
	"errors"
	"sync"
	"time"
)

// drainTime is how long a stopping link waits for acknowledgements in flight.
const drainTime = 2 * time.Second

// Run connects, and connects again whenever the connection is lost, until ctx
// ends; then it lets messages in flight settle, disconnects and returns nil. It
// returns an error only when the first login is refused for a reason that
// waiting does not heal (see Refused) and Config.KeepTrying is off.
func (l *Link) Run(ctx context.Context) error {
	if !l.running.CompareAndSwap(false, true) {
		return errors.New("link: Run called twice")
	}
	var wg sync.WaitGroup
	inner, cancel := context.WithCancel(ctx)
	wg.Go(func() { l.dispatch(inner) })
	err := l.loop(ctx, &wg)
	cancel()
	wg.Wait()
	l.mu.Lock()
	l.endErr = err
	l.mu.Unlock()
	close(l.ended)
	return err
}

func (l *Link) loop(ctx context.Context, wg *sync.WaitGroup) error {
	pause := backoff{lo: l.cfg.BackoffMin}
	addrs, at := l.cfg.addresses(), 0
	for {
		l.server.Store(&addrs[at])
		before, start := l.stats.connects.Load(), time.Now()
		err := l.session(ctx, wg)
		if ctx.Err() != nil {
			return nil
		}
		l.failure.Store(&Failure{time.Now(), err})
		accepted := l.stats.connects.Load() > before
		if !accepted && before == 0 && Refused(err) && !l.cfg.KeepTrying {
			return err
		}
		// Only a connection that lasted ends the back-off: two processes with one
		// identity would otherwise throw each other out as fast as they can.
		lasted := accepted && time.Since(start) > 10*l.cfg.BackoffMin
		if lasted {
			pause.reset()
		}
		window := time.Duration(l.window.Load())
		pause.hi = max(l.cfg.BackoffMax, window)
		var d time.Duration
		switch {
		case lasted:
			at, d = 0, pause.afterLoss(window)
		case !accepted && at+1 < len(addrs):
			at++ // another address is no reason to wait long
			d = jitter(l.cfg.BackoffMin)
		default:
			at, d = 0, pause.next()
		}
		l.log.Warn("not connected to the hub", "server", l.Server(), "err", err, "retry_in", d.Round(time.Millisecond))
		sleep(ctx, d)
		if ctx.Err() != nil {
			return nil
		}
	}
}

// session runs one connection from dialling to its end and says why it ended.
func (l *Link) session(ctx context.Context, wg *sync.WaitGroup) error {
	c, err := l.dial(ctx)
	if err != nil {
		return err
	}
	l.stats.connects.Add(1)
	l.stats.lastUp.Store(time.Now().Unix())
	wg.Go(c.write)
	wg.Go(c.settle)
	if err := l.attach(ctx, c); err != nil {
		c.end(err)
		return err
	}
	l.log.Info("connected to the hub", "server", l.Server(), "present", c.present)
	var up sync.WaitGroup
	upCtx, cancel := context.WithCancel(ctx)
	for _, f := range l.onUp {
		up.Go(func() { f(upCtx) })
	}
	select {
	case <-c.lost:
	case err := <-c.fault:
		c.end(err)
	case <-ctx.Done():
		c.drain(drainTime)
		c.end(ErrStopped)
	}
	cancel()
	l.detach()
	up.Wait()
	return c.why()
}

// attach puts every wanted subscription in force and makes c the current
// connection. It repeats until no Subscribe came in between.
func (l *Link) attach(ctx context.Context, c *conn) error {
	for {
		l.mu.Lock()
		var todo []*route
		for _, r := range l.routes {
			if r.on != c {
				r.on = c
				todo = append(todo, r)
			}
		}
		if len(todo) == 0 {
			l.cur = c
			close(l.up)
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
		refused, err := c.subscribe(ctx, todo)
		if err != nil {
			return err
		}
		for _, f := range refused {
			l.log.Warn("the hub refused a subscription", "topic", f)
		}
	}
}

func (l *Link) detach() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cur != nil {
		l.cur = nil
		l.up = make(chan struct{})
	}
}
