package driver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Bounds of a conversation.
const (
	helloWithin = 10 * time.Second
	window      = 64  // messages of the driver that may be on their way to the buffer; then it is not read
	maxQueue    = 256 // lines for the driver that may wait; then messages for its devices are dropped
	maxBad      = 50  // lines one after the other that are not of the protocol; then it is started anew
)

var (
	errSilent = errors.New("driver: it does not answer")
	errHello  = errors.New("driver: its first line is not hello with version 1")
	errBabble = fmt.Errorf("driver: %d lines one after the other that are not of the protocol", maxBad)
)

// session is the conversation with one process.
type session struct {
	d     *Driver
	p     *process
	queue chan outLine
	slots chan struct{} // one for each message whose answer is not written

	// mu guards the fields below.
	mu       sync.Mutex
	attached map[ident.Device]bool
	heard    time.Time // when the driver last said something
	greeted  bool
	cause    error // why the agent ended it
}

func newSession(d *Driver, p *process) *session {
	return &session{
		d: d, p: p, queue: make(chan outLine, maxQueue+2*window), slots: make(chan struct{}, window),
		attached: make(map[ident.Device]bool), heard: time.Now(),
	}
}

// outLine is a line for the driver; with answer set it gives a slot back when it is written.
type outLine struct {
	Line
	answer bool
}

// blame notes the first reason why the conversation ends.
func (s *session) blame(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == nil {
		s.cause = err
	}
}

func (s *session) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// write hands lines to the driver until ctx ends; then it says stop. A driver that does not read holds nobody up but itself.
func (s *session) write(ctx context.Context) {
	for {
		select {
		case l := <-s.queue:
			if _, err := s.p.in.Write(l.Append(nil)); err != nil {
				return
			}
			if l.answer {
				<-s.slots
			}
		case <-ctx.Done():
			l := Line{Type: "stop"}
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = s.p.in.Write(l.Append(nil)) // it may have ended, or not read
			}()
			s.p.stop()
			<-done
			return
		}
	}
}

// watch pings the driver, and ends the conversation when it is silent. It also ends it with ctx, so that a blocked write ends.
func (s *session) watch(ctx context.Context, cancel func()) {
	tick := time.NewTicker(max(s.d.cfg.Silence/3, time.Millisecond))
	defer tick.Stop()
	began := time.Now()
	for n := int64(1); ; n++ {
		select {
		case <-ctx.Done():
			s.p.stop()
			return
		case <-s.p.ended:
			cancel()
			return
		case <-tick.C:
		}
		s.mu.Lock()
		silent := time.Since(s.heard) > s.d.cfg.Silence || !s.greeted && time.Since(began) > helloWithin
		greeted := s.greeted
		s.mu.Unlock()
		if silent {
			s.blame(errSilent)
			cancel()
			continue
		}
		if greeted {
			s.say(Line{Type: "ping", ID: n})
		}
	}
}

// say queues a line; it reports false when the driver does not read.
func (s *session) say(l Line) bool {
	if len(s.queue) >= maxQueue { // what is behind is for answers
		return false
	}
	select {
	case s.queue <- outLine{Line: l}:
		return true
	default:
		return false
	}
}

// answer queues the answer to a message, of which there are no more than slots: none is lost, and a driver that does not read them is not read.
func (s *session) answer(l Line) {
	select {
	case s.queue <- outLine{l, true}:
	default: // never, but who calls must not block
		<-s.slots
	}
}

// read takes the driver's lines until its output ends. An error is why the agent does not listen any longer.
func (s *session) read(ctx context.Context) error {
	lines := newLines(s.p.out)
	pace := newPace(s.d.cfg.Rate)
	stop := context.AfterFunc(ctx, func() { s.p.stop(); _ = s.p.out.Close() })
	defer stop()
	for bad := 0; ; {
		b, err := lines.next(MaxLine)
		if err != nil && !errors.Is(err, ErrLong) {
			return nil
		}
		var l Line
		if err == nil {
			l, err = ParseLine(b)
		}
		s.mu.Lock()
		s.heard = time.Now()
		greeted := s.greeted
		s.mu.Unlock()
		switch {
		case !greeted && (err != nil || l.Type != "hello" || l.Version != Version):
			return errHello
		case err != nil:
			s.d.bad.Add(1)
			if bad++; bad >= maxBad {
				return errBabble
			}
			s.say(Line{Type: "error", Message: err.Error()})
		default:
			bad = 0
			pace.wait(ctx)
			s.take(ctx, &l)
		}
	}
}

// take does what a line asks for. Types that are not known are ignored: a newer driver may use them.
func (s *session) take(ctx context.Context, l *Line) {
	switch l.Type {
	case "hello":
		s.hello(l)
	case "attach":
		s.attach(ident.Device{Product: l.Product, SN: l.Device})
	case "detach":
		s.detach(ident.Device{Product: l.Product, SN: l.Device})
		s.say(Line{Type: "detached", Product: l.Product, Device: l.Device})
	case "found":
		s.d.door.Found(ident.Device{Product: l.Product, SN: l.Device})
	case "publish":
		s.publish(ctx, l)
	case "log":
		s.note(l)
	}
}

func (s *session) hello(l *Line) {
	s.mu.Lock()
	again := s.greeted
	s.greeted = true
	s.mu.Unlock()
	if again {
		return
	}
	w := Line{Type: "welcome", Version: Version, Config: s.d.cfg.Settings, Devices: []Pair{}}
	for _, d := range s.d.cfg.Devices {
		w.Devices = append(w.Devices, Pair{d.Product, d.SN})
	}
	s.say(w)
	s.d.log.Info("driver runs", "name", cut(l.Name), "pid", s.p.cmd.Process.Pid)
}

func cut(s string) string { return s[:min(len(s), maxText)] }

func (s *session) attach(d ident.Device) {
	answer := Line{Type: "attached", Product: d.Product, Device: d.SN}
	s.mu.Lock()
	known := s.attached[d]
	s.mu.Unlock()
	var err error
	switch {
	case known:
	case !slices.Contains(s.d.cfg.Devices, d):
		err = errors.New("not a device of this driver in the configuration")
	default:
		err = s.d.door.Attach(d, port{s, d})
	}
	if err != nil {
		answer.Type, answer.Message = "error", err.Error()
		s.say(answer)
		return
	}
	s.mu.Lock()
	s.attached[d] = true
	s.mu.Unlock()
	s.say(answer)
}

func (s *session) detach(d ident.Device) {
	s.mu.Lock()
	was := s.attached[d]
	delete(s.attached, d)
	s.mu.Unlock()
	if was {
		s.d.door.Detach(d, port{s, d})
	}
}

// leave takes out all devices.
func (s *session) leave() {
	s.mu.Lock()
	var all []ident.Device
	for d := range s.attached {
		all = append(all, d)
	}
	s.mu.Unlock()
	for _, d := range all {
		s.detach(d)
	}
}

// publish passes a message on, and answers when it is durable. With too many on their way it waits, and with it the driver.
func (s *session) publish(ctx context.Context, l *Line) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	id := l.ID
	body, err := l.body()
	d, ok := topic.DeviceOf(l.Topic)
	s.mu.Lock()
	mine := ok && s.attached[d]
	s.mu.Unlock()
	if err == nil && !mine {
		err = errors.New("the topic is of no device that is attached")
	}
	if err != nil { // with a slot: who waits for this answer waits for ever if it is lost
		s.answer(Line{Type: "nack", ID: id, Message: err.Error()})
		return
	}
	s.d.messages.Add(1)
	qos := byte(1)
	if l.QoS != nil && *l.QoS == 0 {
		qos = 0
	}
	s.d.door.Submit(l.Topic, body, qos, func(err error) {
		if err != nil {
			s.answer(Line{Type: "nack", ID: id, Message: err.Error(), Retry: errors.Is(err, server.ErrUnavailable)})
			return
		}
		s.answer(Line{Type: "ack", ID: id})
	})
}

func (s *session) note(l *Line) {
	var level slog.Level
	if level.UnmarshalText([]byte(l.Level)) != nil {
		level = slog.LevelInfo
	}
	s.d.log.Log(context.Background(), level, "driver says", "text", cut(l.Message))
}

// port is one device of a session.
type port struct {
	s *session
	d ident.Device
}

// Deliver queues a message for the driver.
func (p port) Deliver(name string, payload []byte, _ byte) error {
	l := Line{Type: "message", Topic: name}
	l.setBody(slices.Clone(payload))
	if !p.s.say(l) {
		p.s.d.dropped.Add(1)
		return server.ErrFull
	}
	return nil
}

// pace lets so many pass a second, in bursts of as many.
type pace struct {
	rate   float64
	tokens float64
	at     time.Time
}

func newPace(rate int) *pace {
	return &pace{rate: float64(rate), tokens: float64(rate), at: time.Now()}
}

func (p *pace) wait(ctx context.Context) {
	now := time.Now()
	p.tokens = min(p.rate, p.tokens+now.Sub(p.at).Seconds()*p.rate)
	p.at = now
	p.tokens--
	if p.tokens >= 0 {
		return
	}
	t := time.NewTimer(time.Duration(-p.tokens / p.rate * float64(time.Second)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
