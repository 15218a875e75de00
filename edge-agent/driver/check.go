package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// checkDevices are what the driver under test is given.
var checkDevices = []ident.Device{{Product: "checkcheckcheck0", SN: "check-1"}, {Product: "checkcheckcheck0", SN: "check-2"}}

// ErrNonconforming is returned by Check.
var ErrNonconforming = errors.New("driver: it does not keep to the protocol")

// step is the time for one of a driver's answers in Check, wait how long its messages are waited for.
type checker struct {
	cfg  Config
	out  io.Writer
	step time.Duration
	wait time.Duration
	p    *process
	got  chan Line
	fail bool

	ids      map[int64]bool
	attached map[ident.Device]bool
	faults   []string
}

// Check starts the driver, plays the agent to it, and writes what it does and does not to out, a line for each rule. settings are handed to it, {} by
// default; wait is how long it may take to publish something.
func Check(ctx context.Context, command []string, settings []byte, wait time.Duration, out io.Writer) error {
	c := &checker{cfg: Config{Name: "check", Command: command, Settings: settings, Devices: checkDevices}, out: out, step: helloWithin, wait: wait}
	if err := c.cfg.Check(); err != nil {
		return err
	}
	if err := c.conversation(ctx); err != nil {
		return err
	}
	if err := c.orphan(ctx); err != nil {
		return err
	}
	if c.fail {
		return ErrNonconforming
	}
	return nil
}

func (c *checker) rule(ok bool, rule, why string, args ...any) {
	if ok {
		fmt.Fprintf(c.out, "ok    %s\n", rule)
		return
	}
	c.fail = true
	fmt.Fprintf(c.out, "FAIL  %s: %s\n", rule, fmt.Sprintf(why, args...))
}

// start starts the program and collects its lines.
func (c *checker) start() error {
	p, err := start(&c.cfg, slog.New(slog.NewTextHandler(c.out, nil)))
	if err != nil {
		return err
	}
	c.p, c.got = p, make(chan Line, 1024)
	c.ids, c.attached, c.faults = make(map[int64]bool), make(map[ident.Device]bool), nil
	go func() {
		defer close(c.got)
		lines := newLines(p.out)
		for {
			b, err := lines.next(MaxLine)
			if err != nil && !errors.Is(err, ErrLong) {
				return
			}
			l, err2 := ParseLine(b)
			if err := errors.Join(err, err2); err != nil {
				l = Line{Type: "?", Message: fmt.Sprintf("%s: %.80q", err, b)}
			}
			select {
			case c.got <- l:
			case <-time.After(c.step): // nobody reads any more
				return
			}
		}
	}()
	return nil
}

func (c *checker) say(l Line) error {
	_, err := c.p.in.Write(l.Append(nil))
	return err
}

// until reads lines, and answers them as the agent does, until one fits; it reports whether one did in time.
func (c *checker) until(ctx context.Context, d time.Duration, fits func(Line) bool) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case l, ok := <-c.got:
			if !ok {
				return false
			}
			c.answer(l)
			if fits(l) {
				return true
			}
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func is(kind string) func(Line) bool { return func(l Line) bool { return l.Type == kind } }

// answer does what the agent would, and notes faults.
func (c *checker) answer(l Line) {
	d := ident.Device{Product: l.Product, SN: l.Device}
	switch l.Type {
	case "?":
		c.faults = append(c.faults, l.Message)
	case "attach":
		if !slices.Contains(checkDevices, d) {
			c.faults = append(c.faults, "attach of a device that is not in welcome: "+d.String())
			_ = c.say(Line{Type: "error", Product: l.Product, Device: l.Device, Message: "unknown"})
			return
		}
		c.attached[d] = true
		_ = c.say(Line{Type: "attached", Product: l.Product, Device: l.Device})
	case "detach":
		delete(c.attached, d)
	case "publish":
		c.publish(l)
	case "hello", "log", "pong", "found":
	default:
		c.faults = append(c.faults, fmt.Sprintf("a line of the unknown type %q", l.Type))
	}
}

func (c *checker) publish(l Line) {
	if _, err := l.body(); err != nil {
		c.faults = append(c.faults, err.Error())
	}
	t, err := topic.Parse(l.Topic)
	switch {
	case err != nil:
		c.faults = append(c.faults, fmt.Sprintf("publish on %q: %s", l.Topic, err))
	case !c.attached[t.Device]:
		c.faults = append(c.faults, fmt.Sprintf("publish on %q, whose device is not attached", l.Topic))
	case t.Kind.Direction()&topic.Pub == 0:
		c.faults = append(c.faults, fmt.Sprintf("publish on %q, where a device may not", l.Topic))
	}
	if l.ID <= 0 || c.ids[l.ID] {
		c.faults = append(c.faults, fmt.Sprintf("publish with the id %d, which is none or was used", l.ID))
	}
	c.ids[l.ID] = true
	_ = c.say(Line{Type: "ack", ID: l.ID})
}

// conversation goes through the life of a driver.
func (c *checker) conversation(ctx context.Context) error {
	if err := c.start(); err != nil {
		return err
	}
	defer func() { _ = c.p.end() }()
	first := Line{}
	c.until(ctx, c.step, func(l Line) bool { first = l; return true })
	c.rule(first.Type == "hello" && first.Version == Version, "its first line is hello with version 1", "it is %q, version %d", first.Type, first.Version)
	if c.fail {
		return nil
	}
	w := Line{Type: "welcome", Version: Version, Config: c.cfg.Settings}
	for _, d := range checkDevices {
		w.Devices = append(w.Devices, Pair{d.Product, d.SN})
	}
	_ = c.say(w)
	c.rule(c.until(ctx, c.step, is("attach")) && len(c.faults) == 0, "it attaches a device of welcome", "it does not within %s; %s", c.step, c.faults)
	c.rule(c.until(ctx, c.wait, is("publish")), "it publishes", "nothing within %s", c.wait)
	_ = c.say(Line{Type: "something-of-the-future", Message: "x"})
	for d := range c.attached {
		l := Line{Type: "message", Topic: topic.System(d, topic.PropertySet)}
		l.setBody([]byte(`{"RequestID":"1","Property":{}}`))
		_ = c.say(l)
		l = Line{Type: "message", Topic: topic.Name(d, "set")}
		l.setBody([]byte{0xff, 0})
		_ = c.say(l)
	}
	_ = c.say(Line{Type: "error", Message: "an error that is about nothing"})
	_ = c.say(Line{Type: "ping", ID: 4711})
	c.rule(c.until(ctx, c.step, func(l Line) bool { return l.Type == "pong" && l.ID == 4711 }),
		"it answers ping, behind messages of all kinds and a line that it does not know", "no pong with the id 4711 within %s", c.step)
	_ = c.say(Line{Type: "stop"})
	ended := c.ends(ctx)
	c.rule(ended && c.p.err == nil, "it ends by itself within 5 s of stop, with exit code 0", "ended %v, %v", ended, c.p.err)
	c.rule(len(c.faults) == 0, "all its lines are of the protocol", "%s", strings.Join(c.faults, "; "))
	return ctx.Err()
}

// ends tells whether the program has ended in time.
func (c *checker) ends(ctx context.Context) bool {
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	for {
		select {
		case <-c.p.ended:
			return true
		case l, ok := <-c.got:
			if !ok {
				c.got = nil
				continue
			}
			c.answer(l)
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// orphan: an agent that was killed leaves nothing behind.
func (c *checker) orphan(ctx context.Context) error {
	if c.fail {
		return nil
	}
	if err := c.start(); err != nil {
		return err
	}
	defer func() { _ = c.p.end() }()
	c.until(ctx, c.step, is("hello"))
	_ = c.say(Line{Type: "welcome", Version: Version, Config: c.cfg.Settings, Devices: []Pair{{checkDevices[0].Product, checkDevices[0].SN}}})
	c.until(ctx, c.step, is("attach"))
	_ = c.p.in.Close()
	c.rule(c.ends(ctx), "it ends within 5 s when its input ends without stop", "it goes on")
	return ctx.Err()
}
