// Package shadowsync keeps shadows usable on a gateway while the hub is out of reach: it holds the document of each of its devices, answers them as
// the hub would, lets programs on the gateway read and desire, and brings both sides together when the hub is there.
//
// It promises: what a device was told is on the disk; a device's request is answered at once and in order, whether the hub is there or not; a key
// that only one side has changed since both agreed gets that side's value, and one that both have changed that of its policy (Config.Conflicts);
// what the cloud desires reaches the device, also one that sleeps.
//
// Devices and programs see versions of the gateway's own document, not the hub's. What is desired on the gateway stays on it: a device can tell a
// hub only what is reported.
package shadowsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Up is the way to the hub.
type Up interface {
	Forward(d ident.Device, name string, payload []byte, qos byte, done func(error))
	Local(name string, payload []byte, qos byte, done func(error))
	Attached(d ident.Device)
	Detached(d ident.Device)
	Wanted(d ident.Device, subs []server.Subscription)
	Admitted(d ident.Device, secret credential.Secret)
	Found(d ident.Device)
}

// Down is the gateway with its sub-devices and applications.
type Down interface {
	Deliver(d ident.Device, name string, payload []byte, qos byte) error
	Publish(name string, payload []byte, qos byte)
	Notice(k topic.Kind, subs []message.Subdev)
	Carries(d ident.Device) bool
}

// Store keeps values on the disk.
type Store interface {
	// PutNow returns when the value is on the disk.
	PutNow(key string, value []byte) error
	// Put keeps the value in memory, and on the disk with the next PutNow or some time later.
	Put(key string, value []byte)
	Get(key string) []byte
	Keys() []string
}

// Config says whose shadows are kept and how conflicts end.
type Config struct {
	// Own is the gateway; Gateway keeps its own shadow (Attached says, once, that it is there), Subdevices those of all that are behind it.
	Own                 ident.Device
	Gateway, Subdevices bool
	// Conflicts are policies by key, "*" being all others; by default the cloud wins.
	Conflicts map[string]Policy
	// Custom decides where Conflicts name no policy. It must not block.
	Custom Decide
	Store  Store
	// AnswerWithin is how long the hub may take to answer before it is asked again (30 s).
	AnswerWithin time.Duration
}

// Errors of Get and Update.
var (
	// ErrNone: the gateway keeps no shadow of this device.
	ErrNone = errors.New("shadowsync: no shadow of this device is kept here")
	// ErrRefused: the change is malformed or makes the document too large.
	ErrRefused = errors.New("shadowsync: the change is refused")
)

// bufferOf is the receive buffer that a device is taken to have: what it is sent is no longer.
const bufferOf = message.MaxSmallClient

// Syncer stands between the gateway and the way up: to each it looks like the other. Make it with New, give it its Down with Serve.
type Syncer struct {
	Up
	cfg  Config
	log  *slog.Logger
	down Down

	// mu guards the fields below; it is taken last.
	mu        sync.Mutex
	twins     map[ident.Device]*twin
	attached  map[ident.Device]bool
	wanted    map[ident.Device][]server.Subscription // by the devices themselves
	online    bool
	listeners []func(ident.Device, *shadowdoc.Document)
}

// New returns a Syncer with the shadows that are on the disk.
func New(cfg Config, up Up, log *slog.Logger) (*Syncer, error) {
	for k, p := range cfg.Conflicts {
		if err := p.Check(); err != nil {
			return nil, fmt.Errorf("key %s: %w", k, err)
		}
	}
	if cfg.AnswerWithin == 0 {
		cfg.AnswerWithin = 30 * time.Second
	}
	s := &Syncer{Up: up, cfg: cfg, log: log, twins: make(map[ident.Device]*twin), attached: make(map[ident.Device]bool),
		wanted: make(map[ident.Device][]server.Subscription)}
	for _, key := range cfg.Store.Keys() {
		d, err := ident.ParseClientID(key)
		if err != nil {
			continue // a stranger's
		}
		t := &twin{s: s, device: d, doc: shadowdoc.New()}
		if err := t.load(cfg.Store.Get(key)); err != nil {
			log.Error("a shadow on the disk is damaged; the hub's takes its place", "product", d.Product, "device", d.SN, "err", err)
			t = &twin{s: s, device: d, doc: shadowdoc.New()}
		}
		s.twins[d] = t
	}
	return s, nil
}

// Serve names the gateway. Call it once, before messages come.
func (s *Syncer) Serve(down Down) { s.down = down }

// keeps tells whether the device's shadow is kept here.
func (s *Syncer) keeps(d ident.Device) bool {
	if d == s.cfg.Own {
		return s.cfg.Gateway
	}
	return s.cfg.Subdevices
}

// twin returns the shadow of a device, nil when none is kept.
func (s *Syncer) twin(d ident.Device) *twin {
	if !s.keeps(d) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.twins[d]
	if t == nil {
		t = &twin{s: s, device: d, doc: shadowdoc.New()}
		s.twins[d] = t
	}
	return t
}

// base are the filters by which the hub's word about a shadow comes.
func base(d ident.Device) []server.Subscription {
	return []server.Subscription{{Filter: topic.System(d, topic.ShadowDownstream), QoS: 1}, {Filter: topic.System(d, topic.ShadowGetReply), QoS: 1}}
}

// Attached lets the hub know that the shadow is listened to.
func (s *Syncer) Attached(d ident.Device) {
	s.Up.Attached(d)
	s.setAttached(d, true)
	if t := s.twin(d); t != nil {
		s.Up.Wanted(d, s.withBase(d)) // not less than before: the hub would be told so
		if s.down != nil {            // else Run will
			t.pay()
		}
		if s.isOnline() {
			t.ask()
		}
	}
}

// Detached notes that the device has gone.
func (s *Syncer) Detached(d ident.Device) {
	s.setAttached(d, false)
	s.Up.Detached(d)
}

func (s *Syncer) setAttached(d ident.Device, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.attached[d] = true
	} else {
		delete(s.attached, d)
	}
}

// Wanted adds what the shadow needs to what the device wants.
func (s *Syncer) Wanted(d ident.Device, subs []server.Subscription) {
	if s.keeps(d) {
		s.mu.Lock()
		if s.wanted[d] = subs; len(subs) == 0 {
			delete(s.wanted, d)
		}
		s.mu.Unlock()
		subs = s.withBase(d)
	}
	s.Up.Wanted(d, subs)
}

// withBase is what a device wants, and its shadow.
func (s *Syncer) withBase(d ident.Device) []server.Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.wanted[d], base(d))
}

// Forward answers a device's requests about its shadow; all else passes.
func (s *Syncer) Forward(d ident.Device, name string, payload []byte, qos byte, done func(error)) {
	tp, err := topic.Parse(name)
	if err == nil && (tp.Kind == topic.ShadowUpstream || tp.Kind == topic.ShadowGet) {
		if t := s.twin(d); t != nil {
			t.request(tp.Kind, payload, done)
			return
		}
	}
	s.Up.Forward(d, name, payload, qos, done)
}

// Deliver takes the hub's word about a shadow; all else passes.
func (s *Syncer) Deliver(d ident.Device, name string, payload []byte, qos byte) error {
	tp, err := topic.Parse(name)
	if err == nil && (tp.Kind == topic.ShadowDownstream || tp.Kind == topic.ShadowGetReply) {
		if t := s.twin(d); t != nil {
			return t.hear(tp.Kind, payload)
		}
	}
	if d == s.cfg.Own {
		s.down.Publish(name, payload, qos)
		return nil
	}
	return s.down.Deliver(d, name, payload, qos)
}

// Publish, Notice and Carries pass through.
func (s *Syncer) Publish(name string, payload []byte, qos byte) { s.down.Publish(name, payload, qos) }

// Notice passes through.
func (s *Syncer) Notice(k topic.Kind, subs []message.Subdev) { s.down.Notice(k, subs) }

// Carries passes through.
func (s *Syncer) Carries(d ident.Device) bool { return s.down.Carries(d) }

// Connected says that the hub has let the gateway in; ctx ends with the connection.
func (s *Syncer) Connected(ctx context.Context) {
	s.setOnline(true)
	for _, t := range s.all() {
		t.ask()
	}
	<-ctx.Done()
	s.setOnline(false)
}

func (s *Syncer) setOnline(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.online = on
}

func (s *Syncer) isOnline() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.online
}

// all are the shadows that the hub is to be asked for: of devices that are there, and those with something new.
func (s *Syncer) all() (list []*twin) {
	s.mu.Lock()
	var here, away []*twin
	for d, t := range s.twins {
		switch {
		case !s.keeps(d):
		case s.attached[d]:
			here = append(here, t)
		default:
			away = append(away, t)
		}
	}
	s.mu.Unlock()
	for _, t := range away {
		if s.behind(t.device) && t.dirty() {
			here = append(here, t)
		}
	}
	return here
}

// Run tells devices what a crash has kept from them, and asks the hub again where it has not answered, until ctx ends.
func (s *Syncer) Run(ctx context.Context) error {
	s.mu.Lock()
	twins := slices.Collect(maps.Values(s.twins))
	s.mu.Unlock()
	for _, t := range twins {
		if s.behind(t.device) {
			t.pay()
		}
	}
	tick := time.NewTicker(s.cfg.AnswerWithin / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if !s.isOnline() {
				continue
			}
			for _, t := range s.all() {
				t.remind(now)
			}
		}
	}
}

// Get returns a device's shadow.
func (s *Syncer) Get(d ident.Device) (*shadowdoc.Document, error) {
	t := s.twin(d)
	if t == nil {
		return nil, ErrNone
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.doc, nil
}

// Document is Get as JSON; it is the rules' shadow.
func (s *Syncer) Document(d ident.Device) ([]byte, bool) {
	doc, err := s.Get(d)
	if err != nil {
		return nil, false
	}
	return doc.AppendDocument(nil), true
}

// Update changes a shadow in the name of a program on the gateway: desired and reported are JSON objects or nil, where null deletes a key. What is
// desired goes to the device. When it returns nil the change is on the disk.
func (s *Syncer) Update(d ident.Device, desired, reported []byte) (*shadowdoc.Document, error) {
	t := s.twin(d)
	if t == nil {
		return nil, ErrNone
	}
	return t.update(desired, reported)
}

// Subscribe has f called after every change of a shadow. f must not block, nor call the Syncer. Call it before Run.
func (s *Syncer) Subscribe(f func(d ident.Device, doc *shadowdoc.Document)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, f)
}

// decode reads a JSON object.
func decode(b []byte) (*codec.Doc, error) {
	doc, err := codec.Decode(b, codec.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if doc.Root().Kind() != codec.Object {
		doc.Release()
		return nil, fmt.Errorf("%w: want an object", ErrRefused)
	}
	return doc, nil
}

// kept is a shadow in the Store, under the client id.
type kept struct {
	Doc  []byte `json:"doc"`
	Base Side   `json:"base"` // what both sides had
	Owed bool   `json:"owed,omitempty"`
}

func (t *twin) load(value []byte) error {
	var k kept
	if err := json.Unmarshal(value, &k); err != nil {
		return err
	}
	doc, err := shadowdoc.Decode(k.Doc)
	if err == nil {
		t.doc, t.base, t.owed = doc, k.Base, k.Owed
	}
	return err
}
