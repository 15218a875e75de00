package thingmodel

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/thingmodel/series"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/thing"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// propertyPost takes {"RequestID":"1","Property":{"t":{"Value":21.5,"Time":1524448722000}}}.
func (t *Things) propertyPost(ctx context.Context, m *uplink.Message) error {
	root, err := m.Root()
	if err != nil {
		return err
	}
	product, model, err := t.model(ctx, m.Device.Product)
	if err != nil {
		return refusal(err)
	}
	var room [16]change
	changes, err := t.posted(room[:0], root.Get("Property"), model, m.At)
	if err != nil {
		return refusal(err)
	}
	// take comes last: once the cache has the new values, the unit must be submitted.
	if err := m.Reply(topic.PropertyPostReply, "", success(m)); err != nil {
		return err
	}
	return t.take(ctx, m, changes, model, t.report(m.DeviceID, product, changes, model))
}

// report is what the history gets when the message is stored; nil for a product without one.
func (t *Things) report(device int64, product *registry.Product, changes []change, model *thing.Model) *series.Report {
	if t.Series == nil || product.Settings.HistoryDays != nil && *product.Settings.HistoryDays == 0 {
		return nil
	}
	r := t.Series.Begin(device)
	for i := range changes {
		c := &changes[i]
		r.Add(c.id, c.time, model.AppendProperty(r.Room(), c.id, c.value))
	}
	return r
}

// posted reads and checks what a device posted: ascending, each identifier once.
func (t *Things) posted(dst []change, property codec.Value, model *thing.Model, now time.Time) ([]change, error) {
	if property.Kind() != codec.Object {
		return nil, uplink.Refuse(message.CodeMissing, "Property is missing or no object")
	}
	var bad error
	property.Each(func(id string, v codec.Value) bool {
		c := change{id: id, value: v}
		if c.time, bad = t.timeOf(v.Get("Time"), now); bad != nil {
			return false
		}
		if v.Kind() == codec.Object {
			c.value = v.Get("Value")
		}
		if bad = model.CheckProperty(id, c.value); bad != nil {
			return false
		}
		dst = insert(dst, c)
		return true
	})
	if bad != nil {
		return nil, bad
	}
	if len(dst) == 0 {
		return nil, uplink.Refuse(message.CodeMissing, "Property is empty")
	}
	return dst, nil
}

// insert keeps changes ascending; of two with the same identifier the later one stays.
func insert(changes []change, c change) []change {
	i, found := slices.BinarySearchFunc(changes, c.id, func(e change, id string) int { return strings.Compare(e.id, id) })
	if found {
		changes[i] = c
		return changes
	}
	return slices.Insert(changes, i, c)
}

// timeOf reads a device's Time in ms. An absent one is now, and so is one that is too far ahead of now, which would
// otherwise hold up all later values.
func (t *Things) timeOf(v codec.Value, now time.Time) (int64, error) {
	ms := now.UnixMilli()
	if k := v.Kind(); k == codec.Missing || k == codec.Null {
		return ms, nil
	}
	told, ok := v.Int()
	if !ok {
		f, isFloat := v.Float()
		if s, isString := v.Str(); isString {
			var err error
			f, err = strconv.ParseFloat(s, 64)
			isFloat = err == nil
		}
		if !isFloat || f < 0 || f > 1<<53 {
			return 0, uplink.Refuse(message.CodeTimestamp, "Time must be a number of milliseconds")
		}
		told = int64(f)
	}
	if told <= 0 {
		return ms, nil // a device without a clock
	}
	if told > ms+maxAhead.Milliseconds() {
		t.metrics.clamped.Inc()
		return ms, nil
	}
	return told, nil
}

// take stages the new latest values and what rules see of them. report has all values, also those that are older than the latest.
func (t *Things) take(ctx context.Context, m *uplink.Message, changes []change, model *thing.Model, report *series.Report) error {
	id := m.DeviceID
	lock := &t.computing[uint64(id)%stripes]
	lock.Lock()
	defer lock.Unlock()
	old, err := t.load(ctx, id)
	if err != nil {
		return err
	}
	news := old.news(changes)
	if n := len(changes) - len(news); n > 0 {
		t.metrics.stale.Add(float64(n))
	}
	if len(news) == 0 {
		if report != nil {
			m.After(report.End)
		}
		return nil
	}
	next := old.with(news, model)
	t.latest.Put(id, next)
	m.Stage(old.write(id, next, m.At))
	m.Emit(topic.PropertyDocument, next.document())
	c := next.chain
	m.After(func(err error) {
		report.End(err)
		if err != nil {
			t.broken(id, c)
		}
	})
	return nil
}

// broken forgets the chain of which a write was not stored.
func (t *Things) broken(deviceID int64, c *chain) {
	t.latest.Update(deviceID, func(l *latest) (*latest, bool) { return l, l.chain != c })
}

// success is {"RequestID":"1","RetCode":0,"Message":"success"}.
func success(m *uplink.Message) []byte {
	b := appendRequestID(make([]byte, 0, 64), m)
	return append(b, `"RetCode":0,"Message":"success"}`...)
}

// appendRequestID opens an answer with the request's own id, if it had one.
func appendRequestID(dst []byte, m *uplink.Message) []byte {
	dst = append(dst, '{')
	if id, code := m.RequestID(); code.OK() {
		dst = append(dst, `"RequestID":`...)
		dst = append(codec.AppendString(dst, id), ',')
	}
	return dst
}

// appendRetCode opens an answer of the other order: {"RetCode":0,"RequestID":"3",
func appendRetCode(dst []byte, m *uplink.Message) []byte {
	dst = append(dst, `{"RetCode":0,`...)
	if id, code := m.RequestID(); code.OK() {
		dst = append(dst, `"RequestID":`...)
		dst = append(codec.AppendString(dst, id), ',')
	}
	return dst
}

// fits answers with b, or says that it is too long for the device.
func fits(m *uplink.Message, kind topic.Kind, b []byte) error {
	if limit := m.Limit(kind); len(b) > limit && !m.CBOR {
		return uplink.Refuse(message.CodeRange, "the answer has "+strconv.Itoa(len(b))+" bytes, the device takes "+strconv.Itoa(limit)+
			" - announce a larger buffer with buf= at login")
	}
	return m.Reply(kind, "", b)
}

// restore answers with the last reported values:
// {"RetCode":0,"RequestID":"3","LatestUpdateTime":ms,"Property":{"t":{"Value":21.5,"Time":ms}}}.
func (t *Things) restore(ctx context.Context, m *uplink.Message) error {
	if _, err := m.Root(); err != nil {
		return err
	}
	lock := &t.computing[uint64(m.DeviceID)%stripes]
	lock.Lock()
	l, err := t.load(ctx, m.DeviceID)
	lock.Unlock()
	if err != nil {
		return err
	}
	b := appendRetCode(make([]byte, 0, len(l.stored)+64), m)
	return fits(m, topic.PropertyRestoreReply, append(b, l.document()[1:]...))
}

// eventPost takes {"RequestID":"6","Identifier":"alarm","Output":{"code":3},"Time":ms}. Rules see the message itself.
func (t *Things) eventPost(ctx context.Context, m *uplink.Message) error {
	root, err := m.Root()
	if err != nil {
		return err
	}
	_, model, err := t.model(ctx, m.Device.Product)
	if err != nil {
		return refusal(err)
	}
	id, ok := root.Get("Identifier").Str()
	if !ok || id == "" {
		return uplink.Refuse(message.CodeMissing, "Identifier is missing")
	}
	at, err := t.timeOf(root.Get("Time"), m.At)
	if err != nil {
		return err
	}
	output := root.Get("Output")
	if err := model.CheckEvent(id, output); err != nil {
		return refusal(err)
	}
	m.Stage(eventOp(m.ID, m.DeviceID, id, model.EventType(id), output, at, m.At.UnixMilli()))
	return m.Reply(topic.EventPostReply, "", success(m))
}

// templateGet answers {"RetCode":0,"RequestID":"8","Template":{…}}.
func (t *Things) templateGet(ctx context.Context, m *uplink.Message) error {
	if _, err := m.Root(); err != nil {
		return err
	}
	p, _, err := t.model(ctx, m.Device.Product)
	if err != nil {
		return refusal(err)
	}
	b := append(appendRetCode(make([]byte, 0, 2048), m), `"Template":`...)
	return fits(m, topic.TemplateGetReply, append(p.Template.AppendJSON(b), '}'))
}
