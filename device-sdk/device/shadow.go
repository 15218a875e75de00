package device

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Shadow is the device's side of its shadow document: what it reports, and what
// applications desire of it. The hub counts a version up with every change of
// either side and refuses an update that was made for another one; Shadow knows
// the version, and on a conflict learns the new one and tries again.
type Shadow struct {
	d *Device
	// turn is held by the request under way: answers carry no id, so there can
	// be only one.
	turn chan struct{}

	// mu guards the fields below.
	mu        sync.Mutex
	version   int32
	known     bool // version is what the hub said last
	answer    chan downstream
	document  chan Document
	onDesired DesiredHandler
	pending   bool // desired values may wait
	applying  bool // a task applies them
}

// Document is the shadow as the hub holds it. Reported and Desired are never nil.
type Document struct {
	Reported, Desired Properties
	Version           int32
	// Time is when it last changed, to the second.
	Time time.Time
}

// DesiredHandler puts desired values in force. Values that came out differently
// are returned in reported (nil: all as desired); the others are reported as
// desired for it, and the desired state is cleared. With an error nothing is
// cleared, and the values come again with the next change or connection.
type DesiredHandler func(ctx context.Context, desired Properties) (reported Properties, err error)

// ErrConflict is returned by Update and Delete when others changed the shadow
// again and again in between.
var ErrConflict = errors.New("device: the shadow changed too often meanwhile")

// maxAttempts is how often an update is sent before ErrConflict or ErrNoReply.
const maxAttempts = 8

// downstream is a message on shadow/downstream.
type downstream struct {
	Method  string `json:"Method"`
	Payload struct {
		RetCode message.Code `json:"RetCode"`
	} `json:"Payload"`
	Version int32 `json:"Version"`
}

// upstream is a request on shadow/upstream.
type upstream struct {
	Method  string `json:"Method"`
	State   any    `json:"State"`
	Version int32  `json:"Version"`
}

// Shadow returns the device's shadow. The product must have shadows enabled.
func (d *Device) Shadow() *Shadow { return &d.shadow }

func (s *Shadow) init(d *Device) {
	s.d = d
	s.turn = make(chan struct{}, 1)
	d.link.OnUp(func(ctx context.Context) {
		s.mu.Lock()
		s.known = false // others may have changed it meanwhile
		wanted := s.onDesired != nil
		s.mu.Unlock()
		if wanted {
			s.wake(ctx)
		}
	})
}

// Get returns the document.
func (s *Shadow) Get(ctx context.Context) (*Document, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.end()
	return s.get(ctx)
}

// Update reports values: each key replaces the one reported before, other keys
// stay. Values are as in PostProperties, without Samples.
func (s *Shadow) Update(ctx context.Context, reported Properties) error {
	return s.change(ctx, "update", reportedState{plain(reported)})
}

// Delete removes reported keys; all when none is named.
func (s *Shadow) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return s.change(ctx, "delete", reportedState{nil})
	}
	nulls := make(map[string]any, len(keys))
	for _, k := range keys {
		nulls[k] = nil
	}
	return s.change(ctx, "delete", reportedState{nulls})
}

// OnDesired calls handle when applications desire values: those that wait when
// the device connects, and each change afterwards. It gets all desired keys each
// time and is never called twice at once. Register it before Run.
func (s *Shadow) OnDesired(handle DesiredHandler) error {
	s.mu.Lock()
	s.onDesired = handle
	s.mu.Unlock()
	return s.listen(context.Background())
}

// reportedState and appliedState are the State of a request.
type reportedState struct {
	Reported any `json:"Reported"`
}

type appliedState struct {
	Reported any `json:"Reported"`
	Desired  any `json:"Desired"` // always null: the desired values are done
}

func (s *Shadow) begin(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.listen(ctx); err != nil {
		s.end()
		return err
	}
	return nil
}

func (s *Shadow) end() { <-s.turn }

func (s *Shadow) listen(ctx context.Context) error {
	if err := s.d.listen(ctx, topic.ShadowDownstream, s.downstream); err != nil {
		return err
	}
	return s.d.listen(ctx, topic.ShadowGetReply, s.getReply)
}

// change sends an update or delete until the hub takes it. The turn is free.
func (s *Shadow) change(ctx context.Context, method string, state any) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	err := ErrConflict
	for range maxAttempts {
		version, verr := s.current(ctx)
		if verr != nil {
			return verr
		}
		var again bool
		again, err = s.try(ctx, upstream{method, state, version})
		if !again {
			return err
		}
	}
	return err
}

// current returns the hub's version, asking for it if it is not known.
func (s *Shadow) current(ctx context.Context) (int32, error) {
	s.mu.Lock()
	version, known := s.version, s.known
	s.mu.Unlock()
	if known {
		return version, nil
	}
	doc, err := s.get(ctx)
	if err != nil {
		return 0, err
	}
	return doc.Version, nil
}

// try sends one request and judges the answer; again says that another attempt
// may succeed.
func (s *Shadow) try(ctx context.Context, req upstream) (again bool, err error) {
	ch := make(chan downstream, 1)
	s.mu.Lock()
	s.answer = ch
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.answer = nil
		s.mu.Unlock()
	}()
	if err := s.d.publishBody(ctx, topic.ShadowUpstream, req); err != nil {
		s.forget()
		return false, err
	}
	timer := time.NewTimer(s.d.cfg.RequestTimeout)
	defer timer.Stop()
	select {
	case m := <-ch:
		switch m.Payload.RetCode {
		case message.CodeOK:
			return false, nil
		case message.CodeVersionConflict:
			return true, ErrConflict
		}
		return false, &ReplyError{Code: m.Payload.RetCode}
	case <-timer.C:
		s.forget()
		return true, fmt.Errorf("shadow %s: %w", req.Method, ErrNoReply)
	case <-ctx.Done():
		s.forget()
		return false, ctx.Err()
	}
}

// forget makes the next request ask for the version first. The answer to that
// comes behind a late answer to the request before, which finds nobody waiting
// and so can't be taken for another's.
func (s *Shadow) forget() {
	s.mu.Lock()
	s.known = false
	s.mu.Unlock()
}

// get asks for the document; the turn is ours.
func (s *Shadow) get(ctx context.Context) (*Document, error) {
	ch := make(chan Document, 1)
	s.mu.Lock()
	s.document = ch
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.document = nil
		s.mu.Unlock()
	}()
	if err := s.d.publishBody(ctx, topic.ShadowGet, struct{}{}); err != nil {
		return nil, err
	}
	timer := time.NewTimer(s.d.cfg.RequestTimeout)
	defer timer.Stop()
	select {
	case doc := <-ch:
		return &doc, nil
	case <-timer.C:
		return nil, fmt.Errorf("shadow get: %w", ErrNoReply)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// getReply takes the document that the hub sent.
func (s *Shadow) getReply(_ context.Context, payload []byte) {
	var wire struct {
		State struct {
			Reported Properties `json:"Reported"`
			Desired  Properties `json:"Desired"`
		} `json:"State"`
		Payload struct {
			RetCode message.Code `json:"RetCode"`
		} `json:"Payload"`
		Timestamp int64 `json:"Timestamp"`
		Version   int32 `json:"Version"`
	}
	if err := codec.Unmarshal(payload, &wire); err != nil {
		s.d.log.Warn("a shadow document can't be decoded", "err", err)
		return
	}
	doc := Document{wire.State.Reported, wire.State.Desired, wire.Version, time.Unix(wire.Timestamp, 0)}
	if doc.Reported == nil {
		doc.Reported = Properties{}
	}
	if doc.Desired == nil {
		doc.Desired = Properties{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version, s.known = wire.Version, true
	if s.document != nil {
		s.document <- doc
		s.document = nil
	}
}

// downstream takes an answer to a request, or the notice of new desired values.
func (s *Shadow) downstream(ctx context.Context, payload []byte) {
	var m downstream
	if err := codec.Unmarshal(payload, &m); err != nil {
		s.d.log.Warn("a shadow message can't be decoded", "err", err)
		return
	}
	answer := m.Method == "reply" || m.Payload.RetCode != message.CodeOK
	s.mu.Lock()
	s.version, s.known = m.Version, true
	if answer && s.answer != nil {
		s.answer <- m
		s.answer = nil
	}
	wanted := !answer && s.onDesired != nil
	s.mu.Unlock()
	if wanted {
		s.wake(ctx)
	}
}

// wake makes sure that a task applies the desired values.
func (s *Shadow) wake(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = true
	if !s.applying {
		s.applying = s.d.work.start(func() { s.applyAll(ctx) })
	}
}

func (s *Shadow) applyAll(ctx context.Context) {
	for {
		s.mu.Lock()
		if !s.pending || ctx.Err() != nil {
			s.applying = false
			s.mu.Unlock()
			return
		}
		s.pending = false
		handle := s.onDesired
		s.mu.Unlock()
		if err := s.apply(ctx, handle); err != nil && ctx.Err() == nil {
			s.d.log.Warn("desired values were not applied", "err", err)
		}
	}
}

// apply gives the desired values to the handler and clears them at the hub. When
// they changed meanwhile the hub says so by the version, and they come again.
func (s *Shadow) apply(ctx context.Context, handle DesiredHandler) error {
	for range maxAttempts {
		doc, err := s.Get(ctx)
		if err != nil || len(doc.Desired) == 0 {
			return err
		}
		reported, err := handle(ctx, doc.Desired)
		if err != nil {
			return err
		}
		if reported == nil {
			reported = Properties{}
		}
		if err := s.begin(ctx); err != nil {
			return err
		}
		again, err := s.try(ctx, upstream{"update", appliedState{Reported: plain(reported)}, doc.Version})
		s.end()
		if !again {
			return err
		}
	}
	return ErrConflict
}
