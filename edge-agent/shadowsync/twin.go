package shadowsync

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// twin is the shadow of one device. Messages to the device leave under mu, so that they are in the order of the changes.
type twin struct {
	s      *Syncer
	device ident.Device

	// mu guards the fields below.
	mu    sync.Mutex
	doc   *shadowdoc.Document
	base  Side  // what both sides had
	owed  bool  // the device has not been told yet what is desired of it
	known bool  // hub is the hub's document as of version, on this connection
	hub   Side  // the hub's document
	ver   int32 // its version
	asked time.Time
	sent  *changes // what the hub was told and has not answered
}

// commit keeps the next document, or another base, and with desires that the device is to be told of it. Nothing of it is seen before it is on
// the disk.
func (t *twin) commitLocked(doc *shadowdoc.Document, base Side, desires bool) error {
	owed := t.owed || desires && t.device != t.s.cfg.Own
	b, err := json.Marshal(kept{doc.Encode(), base, owed})
	if err == nil {
		err = t.s.cfg.Store.PutNow(t.device.ClientID(), b)
	}
	if err != nil {
		return fmt.Errorf("%w: keep a shadow: %w", server.ErrUnavailable, err)
	}
	changed := doc != t.doc
	t.doc, t.base, t.owed = doc, base, owed
	if changed {
		t.tellLocked()
	}
	return nil
}

// tellLocked shows the document to programs on the gateway.
func (t *twin) tellLocked() {
	t.s.down.Publish(localTopic(t.device, "document"), t.doc.AppendDocument(nil), 1)
	t.s.mu.Lock()
	listeners := t.s.listeners
	t.s.mu.Unlock()
	for _, f := range listeners {
		f(t.device, t.doc)
	}
}

// request answers the device.
func (t *twin) request(k topic.Kind, payload []byte, done func(error)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k == topic.ShadowGet {
		done(nil)
		t.deliverLocked(topic.ShadowGetReply, func(limit int) []byte { return t.doc.AppendGet(nil, limit) })
		return
	}
	doc, err := codec.Decode(payload, codec.DefaultLimits())
	if err != nil {
		done(nil) // it has arrived; what it says is nothing
		t.deliverLocked(topic.ShadowDownstream, func(int) []byte { return t.doc.AppendReply(nil, message.CodeBad, time.Now()) })
		return
	}
	defer doc.Release()
	out := shadowdoc.Device(t.doc, doc.Root(), time.Now(), shadowdoc.Options{})
	if out.Next != nil {
		if err := t.commitLocked(out.Next, t.base, false); err != nil {
			done(err)
			return
		}
	}
	done(nil)
	t.deliverLocked(topic.ShadowDownstream, func(limit int) []byte { return out.AppendReply(nil, limit) })
	if out.Next != nil {
		t.settleLocked()
	}
}

// deliverLocked sends the device a message of at most what it can take.
func (t *twin) deliverLocked(k topic.Kind, body func(limit int) []byte) {
	if t.device == t.s.cfg.Own {
		return
	}
	name := topic.System(t.device, k)
	_ = t.sendLocked(name, body(shadowdoc.PayloadLimit(bufferOf, name))) // who asked and has gone asks again
}

func (t *twin) sendLocked(name string, body []byte) error {
	err := t.s.down.Deliver(t.device, name, body, 1)
	if err != nil {
		t.s.log.Debug("a device is not told of its shadow", "product", t.device.Product, "device", t.device.SN, "err", err)
	}
	return err
}

// desireLocked sends the device what is desired of it. While it is away, or what waits for it can't be kept, it is owed this.
func (t *twin) desireLocked() {
	if t.device == t.s.cfg.Own {
		return
	}
	owed := false
	for _, err := range t.controlLocked() {
		owed = owed || err != nil && !errors.Is(err, server.ErrNotSubscribed)
	}
	if owed == t.owed {
		return
	}
	t.owed = owed
	if b, err := json.Marshal(kept{t.doc.Encode(), t.base, owed}); err == nil {
		t.s.cfg.Store.Put(t.device.ClientID(), b) // lost with a crash, it is told twice
	}
}

// controlLocked sends what is desired in messages that the device can take, and returns how each went.
func (t *twin) controlLocked() (ends []error) {
	if !t.doc.HasDesired() {
		return nil
	}
	name := topic.System(t.device, topic.ShadowDownstream)
	list, err := t.doc.Controls(shadowdoc.PayloadLimit(bufferOf, name))
	if err != nil {
		t.s.log.Warn("what is desired does not fit the device", "product", t.device.Product, "device", t.device.SN, "err", err)
	}
	for _, b := range list {
		ends = append(ends, t.sendLocked(name, b))
	}
	return ends
}

// pay tells the device what it is owed.
func (t *twin) pay() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.owed {
		t.desireLocked()
	}
}

// update changes the document for a program on the gateway.
func (t *twin) update(desired, reported []byte) (*shadowdoc.Document, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next, err := change(t.doc, desired, reported)
	if err != nil || next == t.doc {
		return t.doc, err
	}
	if err := t.commitLocked(next, t.base, len(desired) > 0); err != nil {
		return nil, err
	}
	if len(desired) > 0 {
		t.desireLocked()
	}
	t.settleLocked()
	return t.doc, nil
}

// change applies objects of desired and reported keys; null deletes one.
func change(doc *shadowdoc.Document, desired, reported []byte) (*shadowdoc.Document, error) {
	now := time.Now()
	apply := func(text []byte, how func(v codec.Value) shadowdoc.Outcome) error {
		if len(text) == 0 {
			return nil
		}
		d, err := decode(text)
		if err != nil {
			return err
		}
		defer d.Release()
		out := how(d.Root())
		if out.Code != message.CodeOK {
			return fmt.Errorf("%w: %s", ErrRefused, out.Code.Text())
		}
		if out.Next != nil {
			doc = out.Next
		}
		return nil
	}
	if err := apply(desired, func(v codec.Value) shadowdoc.Outcome { return shadowdoc.Desire(doc, v, now, shadowdoc.Options{}) }); err != nil {
		return nil, err
	}
	if len(reported) > 0 {
		if d, err := decode(reported); err != nil {
			return nil, err
		} else {
			d.Release()
		}
		reported = append(append([]byte(`{"Method":"update","State":{"Reported":`), reported...), "}}"...)
	}
	err := apply(reported, func(v codec.Value) shadowdoc.Outcome { return shadowdoc.Device(doc, v, now, shadowdoc.Options{}) })
	return doc, err
}

// dirty tells whether the hub may have to be told something.
func (t *twin) dirty() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	local, err := sideOf(t.doc)
	return err == nil && !equal(local, t.base)
}

// ask asks the hub for its document.
func (t *twin) ask() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.askLocked()
}

func (t *twin) askLocked() {
	t.known, t.sent, t.asked = false, nil, time.Now()
	t.hubLocked(topic.ShadowGet, []byte("{}"))
}

func (t *twin) hubLocked(k topic.Kind, body []byte) {
	t.s.Up.Forward(t.device, topic.System(t.device, k), body, 1, func(err error) {
		if err != nil {
			t.s.log.Warn("the hub is not told of a shadow", "product", t.device.Product, "device", t.device.SN, "err", err)
		}
	})
}

// remind asks again when the hub owes an answer for too long.
func (t *twin) remind(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if (!t.known || t.sent != nil) && now.Sub(t.asked) > t.s.cfg.AnswerWithin {
		t.askLocked()
	}
}

// hear takes what the hub says.
func (t *twin) hear(k topic.Kind, payload []byte) error {
	var m struct {
		Method  string
		Payload struct{ RetCode message.Code }
		Version int32
	}
	if err := codec.Unmarshal(payload, &m); err != nil {
		return fmt.Errorf("shadowsync: the hub's message: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case k == topic.ShadowGetReply && m.Method == "":
		return t.documentLocked(payload)
	case m.Method == "reply" && m.Payload.RetCode.OK() && t.sent != nil:
		return t.answeredLocked(m.Version)
	case m.Method == "reply" && m.Payload.RetCode.OK():
		return nil // of a message before this connection
	case m.Method == "reply" && m.Payload.RetCode != message.CodeVersionConflict:
		t.refusedLocked(m.Payload.RetCode)
		return nil
	}
	// The cloud desires something, or another version: its document tells all.
	t.askLocked()
	return nil
}

// refusedLocked: the hub keeps no shadow of this device, or takes not what it was told. It is asked again with the next connection or in an hour; when
// it was only the hub's own trouble, soon.
func (t *twin) refusedLocked(code message.Code) {
	t.known, t.sent, t.asked = false, nil, time.Now()
	if code == message.CodeInternal {
		return
	}
	t.asked = t.asked.Add(time.Hour)
	t.s.log.Warn("the hub refuses a shadow", "product", t.device.Product, "device", t.device.SN, "code", int(code))
}

// documentLocked takes the hub's document.
func (t *twin) documentLocked(payload []byte) error {
	doc, err := shadowdoc.Parse(payload)
	if err != nil {
		return err
	}
	if t.hub, err = sideOf(doc); err != nil {
		return err
	}
	t.ver, t.known, t.sent = doc.Version, true, nil
	t.settleLocked()
	return nil
}

// answeredLocked: the hub has what it was told.
func (t *twin) answeredLocked(version int32) error {
	apply(t.hub.Reported, t.sent.reported)
	apply(t.hub.Desired, t.sent.desired)
	t.ver, t.sent = version, nil
	t.settleLocked()
	return nil
}

func apply(m map[string]Value, c map[string]*Value) {
	for k, v := range c {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = *v
		}
	}
}

// settleLocked brings both sides nearer: the local document gets what the hub has new, and the hub is told what is new here, one message at a time.
func (t *twin) settleLocked() {
	if !t.known || t.sent != nil {
		return
	}
	local, err := sideOf(t.doc)
	if err != nil {
		t.s.log.Error("a shadow can't be read", "product", t.device.Product, "device", t.device.SN, "err", err)
		return
	}
	down, up := merge(t.base, local, t.hub, t.s.cfg.decide)
	next, err := t.takeLocked(down)
	if err != nil {
		t.s.log.Warn("the hub's shadow does not fit here", "product", t.device.Product, "device", t.device.SN, "err", err)
		next = t.doc
	}
	// What the hub is told it may refuse: base follows when it has answered.
	agreed := t.base
	if up.none() {
		agreed = t.hub.clone()
	}
	if next != t.doc || !equal(agreed, t.base) {
		if err := t.commitLocked(next, agreed, len(down.desired) > 0); err != nil {
			t.s.log.Error("a shadow is not kept", "product", t.device.Product, "device", t.device.SN, "err", err)
			return
		}
	}
	if len(down.desired) > 0 {
		t.desireLocked()
	}
	if !up.none() && t.s.isOnline() {
		t.sent, t.asked = &up, time.Now()
		t.hubLocked(topic.ShadowUpstream, up.message(t.ver))
	}
}

// takeLocked is the document with what the hub has new.
func (t *twin) takeLocked(down changes) (*shadowdoc.Document, error) {
	return change(t.doc, object(down.desired), object(down.reported))
}

// object writes changes as a JSON object, null for what is deleted; nil when there are none.
func object(c map[string]*Value) []byte {
	if len(c) == 0 {
		return nil
	}
	m := make(map[string]json.RawMessage, len(c))
	for k, v := range c {
		m[k] = json.RawMessage("null")
		if v != nil {
			m[k] = json.RawMessage(v.JSON)
		}
	}
	b, _ := codec.Marshal(codec.JSON, m) // of JSON that was read
	return b
}

// message is the update that tells the hub.
func (c *changes) message(version int32) []byte {
	b := []byte(`{"Method":"update","State":{`)
	if len(c.reported) > 0 {
		b = append(append(b, `"Reported":`...), object(c.reported)...)
	}
	if len(c.desired) > 0 {
		if len(c.reported) > 0 {
			b = append(b, ',')
		}
		b = append(append(b, `"Desired":`...), object(c.desired)...)
	}
	return fmt.Appendf(b, `},"Version":%d}`, version)
}

func (s Side) clone() Side {
	c := Side{make(map[string]Value, len(s.Reported)), make(map[string]Value, len(s.Desired))}
	for k, v := range s.Reported {
		c.Reported[k] = v
	}
	for k, v := range s.Desired {
		c.Desired[k] = v
	}
	return c
}

// equal compares values, not times.
func equal(a, b Side) bool {
	one := func(a, b map[string]Value) bool {
		if len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || v.JSON != w.JSON {
				return false
			}
		}
		return true
	}
	return one(a.Reported, b.Reported) && one(a.Desired, b.Desired)
}
