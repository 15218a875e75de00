package modbus

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/simonvetter/modbus"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// unit is one device on a line, and the sub-device that it is at the hub. Its fields are the line's goroutine's, but where said.
type unit struct {
	bus    *bus
	cfg    *Device
	id     ident.Device // does not change
	door   Door
	blocks []*block
	points map[string]*Point // does not change

	here    bool // attached
	missed  int  // requests without an answer, one after the other
	last    map[string]reported
	pending map[string]reported // to be reported
	request int64

	unwritten time.Time           // when the device did not answer a write of something desired; zero: all of that was written or refused
	owes      map[topic.Kind]bool // what is asked for again then: topic.DesiredGet, topic.ShadowGet
	resync    atomic.Bool         // of any goroutine: what is desired is to be asked for with the next reading
}

type reported struct {
	text string
	v    float64
	at   time.Time
}

func newUnit(b *bus, d *Device, door Door) *unit {
	u := &unit{
		bus: b, cfg: d, id: d.id(), door: door, blocks: plan(d), points: make(map[string]*Point), last: make(map[string]reported),
		pending: make(map[string]reported), request: time.Now().UnixMilli() % 1e12, owes: make(map[topic.Kind]bool),
	}
	for i := range d.Points {
		u.points[d.Points[i].Name] = &d.Points[i]
	}
	return u
}

// read reads the i-th block and notes what has changed. One that the device refuses as a whole is read point by point from now on.
func (u *unit) read(i int) {
	bl := u.blocks[i]
	regs, err := u.bus.read(u.cfg.Unit, bl)
	if err != nil {
		u.failed(i, err)
		return
	}
	u.answered()
	now := time.Now()
	for _, p := range bl.points {
		text, v, err := p.decode(bl.of(p, regs))
		if err != nil {
			continue // not a number: there is nothing to report
		}
		u.note(p, reported{text, v, now})
	}
}

func (u *unit) failed(i int, err error) {
	bl := u.blocks[i]
	if !u.bus.judge(err) {
		u.missed++
		if u.missed == goneAfter {
			u.bus.log.Warn("device does not answer", "product", u.id.Product, "device", u.id.SN, "unit", u.cfg.Unit, "err", err)
			u.gone()
		}
		if u.missed >= goneAfter {
			u.spare()
		}
		return
	}
	u.answered()
	if len(bl.points) > 1 && (errors.Is(err, modbus.ErrIllegalDataAddress) || errors.Is(err, modbus.ErrIllegalDataValue)) {
		parts := bl.split()
		for _, p := range parts {
			p.due = time.Now()
		}
		u.blocks = append(append(append([]*block{}, u.blocks[:i]...), parts...), u.blocks[i+1:]...)
		return
	}
	u.bus.log.Debug("device refuses a read", "product", u.id.Product, "device", u.id.SN, "table", bl.table, "address", bl.addr, "err", err)
}

// spare puts off what is to be read of a device that is gone. All of it is due at once, so that the rest is read as soon as the first is answered.
func (u *unit) spare() {
	again := time.Now().Add(sparing * time.Duration(u.bus.cfg.Timeout))
	for _, bl := range u.blocks {
		if bl.due.Before(again) {
			bl.due = again
		}
	}
}

// note decides whether a value is reported.
func (u *unit) note(p *Point, r reported) {
	old, known := u.last[p.Name]
	every := time.Duration(u.cfg.ReportEvery)
	changed := !known || r.text != old.text && (p.Deadband == 0 || math.Abs(r.v-old.v) > p.Deadband)
	if changed || every > 0 && r.at.Sub(old.at) >= every {
		u.last[p.Name], u.pending[p.Name] = r, r
	}
}

// answered brings the sub-device in when it was not.
func (u *unit) answered() {
	u.missed = 0
	if u.here {
		u.askAgain()
		return
	}
	if err := u.door.Attach(u.id, u); err != nil {
		u.bus.log.Debug("device is not brought in", "product", u.id.Product, "device", u.id.SN, "err", err)
		return
	}
	u.here = true
	u.bus.log.Info("device answers", "product", u.id.Product, "device", u.id.SN, "unit", u.cfg.Unit)
	u.askDesired()
	if slices.ContainsFunc(u.cfg.Points, func(p Point) bool { return p.Write }) {
		u.askShadow() // what was told and not written when the agent ended is told again
	}
}

// gone takes the sub-device out.
func (u *unit) gone() {
	if u.here {
		u.here = false
		u.door.Detach(u.id, u)
	}
}

// askDesired asks for what was desired of the device meanwhile.
func (u *unit) askDesired() {
	u.send(topic.System(u.id, topic.DesiredGet), message.DesiredGet{RequestID: u.newRequest()})
}

// writeAgain is after how long a device that answers again is written what it did not answer to.
const writeAgain = 2 * time.Second

// askAgain asks for what is desired when it is time: it tells also of what has changed meanwhile.
func (u *unit) askAgain() {
	if u.resync.Swap(false) {
		u.askDesired()
	}
	if u.unwritten.IsZero() || time.Since(u.unwritten) < writeAgain {
		return
	}
	u.unwritten = time.Time{}
	if u.owes[topic.DesiredGet] {
		u.askDesired()
	}
	if u.owes[topic.ShadowGet] {
		u.askShadow()
	}
	clear(u.owes)
}

func (u *unit) askShadow() { u.send(topic.System(u.id, topic.ShadowGet), struct{}{}) }

func (u *unit) newRequest() message.RequestID {
	u.request++
	return message.RequestID(strconv.FormatInt(u.request, 10))
}

// property is a value with its time, as a post has it.
type property struct {
	Value json.RawMessage `json:"Value"`
	Time  int64           `json:"Time"`
}

type post struct {
	RequestID message.RequestID   `json:"RequestID"`
	Property  map[string]property `json:"Property"`
}

// maxPost bounds the properties of one message.
const maxPost = 100

// flush reports what has changed. What the buffer does not take is reported with the next reading.
func (u *unit) flush() {
	for len(u.pending) > 0 && u.here {
		m := post{u.newRequest(), make(map[string]property)}
		for name, r := range u.pending {
			m.Property[name] = property{json.RawMessage(r.text), r.at.UnixMilli()}
			delete(u.pending, name)
			if len(m.Property) == maxPost {
				break
			}
		}
		u.submit(topic.System(u.id, topic.PropertyPost), m, func() {
			for name := range m.Property {
				delete(u.last, name)
			}
		})
	}
}

func (u *unit) send(name string, v any) { u.submit(name, v, func() {}) }

// submit passes a message on. When it is not taken, lost is called by the line's goroutine, if that is not too busy.
func (u *unit) submit(name string, v any, lost func()) {
	b, err := codec.Marshal(codec.JSON, v)
	if err != nil {
		u.bus.log.Error("a message can't be made", "topic", name, "err", err)
		return
	}
	u.door.Submit(name, b, 1, func(err error) {
		if err == nil {
			return
		}
		u.bus.log.Warn("a message of a device is not taken", "product", u.id.Product, "device", u.id.SN, "topic", name, "err", err)
		select {
		case u.bus.work <- lost:
		default:
		}
	})
}

// Deliver takes what the hub, or a route, has for the device. It does not wait for the line.
func (u *unit) Deliver(name string, payload []byte, _ byte) error {
	t, err := topic.Parse(name)
	if err != nil {
		return err
	}
	do, err := u.task(t, append([]byte(nil), payload...))
	if err != nil || do == nil {
		return err
	}
	select {
	case u.bus.work <- do:
		return nil
	default:
		return fmt.Errorf("modbus: %d writes wait already", maxPending)
	}
}

// task is what a message asks of the line, nil when nothing.
func (u *unit) task(t topic.Topic, payload []byte) (func(), error) {
	switch t.Kind {
	case topic.PropertySet:
		var m struct {
			RequestID message.RequestID          `json:"RequestID"`
			Property  map[string]json.RawMessage `json:"Property"`
		}
		err := codec.Unmarshal(payload, &m)
		return func() { u.set(m.RequestID, m.Property) }, err
	case topic.DesiredGetReply:
		var m message.DesiredGetReply
		err := codec.Unmarshal(payload, &m)
		return func() { u.desired(m.Desired) }, err
	case topic.Command:
		var m struct {
			RequestID  message.RequestID          `json:"RequestID"`
			Identifier string                     `json:"Identifier"`
			Input      map[string]json.RawMessage `json:"Input"`
		}
		err := codec.Unmarshal(payload, &m)
		return func() { u.command(m.RequestID, m.Identifier, m.Input) }, err
	case topic.ShadowDownstream:
		var m struct {
			Method  string
			Payload struct {
				State struct{ Desired map[string]json.RawMessage }
			}
		}
		err := codec.Unmarshal(payload, &m)
		if m.Method != "control" || len(m.Payload.State.Desired) == 0 {
			return nil, err
		}
		return func() { u.shadow(m.Payload.State.Desired) }, err
	case topic.ShadowGetReply:
		var m struct {
			State struct{ Desired map[string]json.RawMessage }
		}
		err := codec.Unmarshal(payload, &m)
		return func() { u.shadow(m.State.Desired) }, err
	}
	return nil, nil
}
