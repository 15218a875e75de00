package thingmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/thing"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// desired are the values that wait for a device. The stored form is one byte version (1) and a JSON text:
//
//	{"t":{"Value":20,"Version":1},"u":{"Version":3}}
//
// with identifiers ascending. A property without Value was deleted; its version stays, so that it goes on counting.
type desired struct {
	revision int64
	wishes   []wish
}

type wish struct {
	id      string
	version int64
	value   []byte // JSON; nil when it was deleted
}

const desiredVersion = 1

func (d *desired) find(id string) (int, bool) {
	return slices.BinarySearchFunc(d.wishes, id, func(w wish, id string) int { return strings.Compare(w.id, id) })
}

func (d *desired) set(id string, value []byte) {
	i, ok := d.find(id)
	if !ok {
		d.wishes = slices.Insert(d.wishes, i, wish{id: id})
	}
	d.wishes[i].version++
	d.wishes[i].value = value
}

// appendJSON appends the wishes that take keeps.
func (d *desired) appendJSON(dst []byte, take func(*wish) bool) []byte {
	dst = append(dst, '{')
	first := true
	for i := range d.wishes {
		w := &d.wishes[i]
		if !take(w) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(codec.AppendString(dst, w.id), ':', '{')
		if w.value != nil {
			dst = append(append(dst, `"Value":`...), w.value...)
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `"Version":`...), w.version, 10)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

func (d *desired) encode() []byte {
	return d.appendJSON([]byte{desiredVersion}, func(*wish) bool { return true })
}

func parseDesired(stored []byte) (*desired, error) {
	if len(stored) == 0 || stored[0] != desiredVersion {
		return nil, errStored
	}
	doc, err := codec.Decode(stored[1:], codec.Limits{Size: 64 << 20, Depth: 64, Count: 1 << 20})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStored, err)
	}
	defer doc.Release()
	d := &desired{}
	doc.Root().Each(func(id string, v codec.Value) bool {
		w := wish{id: strings.Clone(id)}
		w.version, _ = v.Get("Version").Int()
		if value := v.Get("Value"); value.Kind() != codec.Missing {
			w.value = value.AppendJSON(nil)
		}
		d.wishes = append(d.wishes, w)
		return true
	})
	slices.SortFunc(d.wishes, func(a, b wish) int { return strings.Compare(a.id, b.id) })
	return d, nil
}

func (t *Things) readDesired(ctx context.Context, deviceID int64) (*desired, error) {
	var (
		revision int64
		stored   []byte
	)
	err := t.Store.QueryRow(ctx, `SELECT revision, doc FROM desired WHERE device = ?`, deviceID).Scan(&revision, &stored)
	if errors.Is(err, store.ErrNoRows) {
		return &desired{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("thingmodel: read desired values of device %d: %w", deviceID, err)
	}
	d, err := parseDesired(stored)
	if err != nil {
		return nil, fmt.Errorf("thingmodel: desired values of device %d: %w", deviceID, err)
	}
	d.revision = revision
	return d, nil
}

var putDesired = store.NewStmt(`INSERT INTO desired (device, revision, doc, updated_at) VALUES (?, ?, ?, ?)
	ON CONFLICT (device) DO UPDATE SET revision = excluded.revision, doc = excluded.doc, updated_at = excluded.updated_at
	WHERE desired.revision = excluded.revision - 1`)

// write is guarded by the revision that d was read with. Each change reads the row, so that of two only one passes.
func (d *desired) write(deviceID int64, at time.Time) store.Op {
	return putDesired.Guard(deviceID, d.revision+1, d.encode(), at.UnixMilli())
}

// Setting sets properties of a device.
type Setting struct {
	Property []byte        // a JSON object: identifiers and values
	Desired  bool          // keep the values as desired ones when the device is offline
	Timeout  time.Duration // 0 is DefaultTimeout
}

// SetResult is what came of a Setting.
type SetResult struct {
	RequestID string
	Code      message.Code // the device's RetCode
	Message   string       // what the device said beside it
	Kept      bool         // the device is offline, the values are desired now
}

// SetProperty sends property/set and returns with the device's answer. Every property must be writable.
func (t *Things) SetProperty(ctx context.Context, dev ident.Device, s Setting) (SetResult, error) {
	d, model, err := t.target(ctx, dev)
	if err != nil {
		return SetResult{}, err
	}
	timeout, err := checkTimeout(s.Timeout)
	if err != nil {
		return SetResult{}, err
	}
	doc, err := codec.Decode(s.Property, codec.DefaultLimits())
	if err != nil {
		return SetResult{}, &ErrInvalid{"property", err.Error()}
	}
	defer doc.Release()
	changes, err := settings(doc.Root(), model)
	if err != nil {
		return SetResult{}, err
	}
	call := outgoing{device: d, id: t.Caller.NextRequestID(), topic: topic.System(dev, topic.PropertySet), timeout: timeout}
	call.payload = setPayload(call.id, changes, model)
	r := SetResult{RequestID: call.id}
	answer, err := t.call(ctx, &call)
	if errors.Is(err, ErrOffline) && s.Desired {
		r.Kept = true
		return r, t.keep(ctx, d, changes, model)
	}
	if err != nil {
		return r, err
	}
	defer answer.Release()
	code, ok := retCode(answer.Root())
	if !ok {
		return r, ErrBadReply
	}
	r.Code = code
	r.Message, _ = answer.Root().Get("Message").Str()
	r.Message = strings.Clone(r.Message)
	return r, nil
}

// settings reads and checks what an application sets.
func settings(property codec.Value, model *thing.Model) ([]change, error) {
	if property.Kind() != codec.Object || property.Len() == 0 {
		return nil, &ErrInvalid{"property", "must be an object with at least one property"}
	}
	var (
		changes []change
		bad     error
	)
	property.Each(func(id string, v codec.Value) bool {
		if bad = model.CheckWritable(id, v); bad != nil {
			return false
		}
		changes = insert(changes, change{id: id, value: v})
		return true
	})
	return changes, bad
}

// setPayload is {"RequestID":"2","Property":{"t":20}}.
func setPayload(requestID string, changes []change, model *thing.Model) []byte {
	b := codec.AppendString([]byte(`{"RequestID":`), requestID)
	b = append(b, `,"Property":{`...)
	for i := range changes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(codec.AppendString(b, changes[i].id), ':')
		b = model.AppendProperty(b, changes[i].id, changes[i].value)
	}
	return append(b, '}', '}')
}

// maxTries bounds how often a change of the desired values is computed anew because others were quicker.
const maxTries = 16

// keep makes values desired ones.
func (t *Things) keep(ctx context.Context, device *registry.Device, changes []change, model *thing.Model) error {
	for range maxTries {
		d, err := t.readDesired(ctx, device.ID)
		if err != nil {
			return err
		}
		for _, c := range changes {
			d.set(strings.Clone(c.id), model.AppendProperty(nil, c.id, c.value))
		}
		err = t.Store.Do(ctx, &store.Unit{Device: device.ID, Ops: []store.Op{d.write(device.ID, t.now())}})
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return fmt.Errorf("thingmodel: keep desired values of %s: %w", device.Identity, err)
		}
		return nil
	}
	return fmt.Errorf("thingmodel: keep desired values of %s: %w", device.Identity, store.ErrConflict)
}

// Wish is a desired value that the device has not cleared.
type Wish struct {
	Identifier string
	Value      json.RawMessage
	Version    int64
}

// Desired returns the desired values of a device by ascending identifier.
func (t *Things) Desired(ctx context.Context, dev ident.Device) ([]Wish, error) {
	device, err := t.Registry.Device(ctx, dev)
	if err != nil {
		return nil, err
	}
	d, err := t.readDesired(ctx, device.ID)
	if err != nil {
		return nil, err
	}
	var list []Wish
	for _, w := range d.wishes {
		if w.value != nil {
			list = append(list, Wish{Identifier: w.id, Value: w.value, Version: w.version})
		}
	}
	return list, nil
}

// desiredGet answers {"RequestID":"4","Require":["t"]}: all of them when Require is absent or empty.
func (t *Things) desiredGet(ctx context.Context, m *uplink.Message) error {
	root, err := m.Root()
	if err != nil {
		return err
	}
	required := make(map[string]bool)
	root.Get("Require").Elems(func(_ int, v codec.Value) bool {
		if id, ok := v.Str(); ok {
			required[id] = true
		}
		return true
	})
	d, err := t.readDesired(ctx, m.DeviceID)
	if err != nil {
		return err
	}
	b := append(appendRetCode(make([]byte, 0, 256), m), `"Desired":`...)
	b = d.appendJSON(b, func(w *wish) bool { return w.value != nil && (len(required) == 0 || required[w.id]) })
	return fits(m, topic.DesiredGetReply, append(b, '}'))
}

// desiredDelete takes {"RequestID":"5","Delete":{"t":{"Version":1}}}. If a version is not the present one, nothing is
// deleted: the device has to look at the newer wish first.
func (t *Things) desiredDelete(ctx context.Context, m *uplink.Message) error {
	root, err := m.Root()
	if err != nil {
		return err
	}
	gone := root.Get("Delete")
	if gone.Kind() != codec.Object {
		return uplink.Refuse(message.CodeMissing, "Delete is missing or no object")
	}
	d, err := t.readDesired(ctx, m.DeviceID)
	if err != nil {
		return err
	}
	changed, err := d.delete(gone)
	if err != nil {
		return err
	}
	if changed {
		m.Stage(d.write(m.DeviceID, m.At))
	}
	return m.Reply(topic.DesiredDeleteReply, "", success(m))
}

// delete removes the wishes that gone names with their present version. One that is not there is gone already.
func (d *desired) delete(gone codec.Value) (changed bool, err error) {
	gone.Each(func(id string, v codec.Value) bool {
		i, ok := d.find(id)
		if !ok || d.wishes[i].value == nil {
			return true
		}
		w := &d.wishes[i]
		if version, told := versionOf(v); told && version != w.version {
			err = uplink.Refuse(message.CodeBad, "the desired version is "+strconv.FormatInt(w.version, 10))
			return false
		}
		w.value, changed = nil, true
		return true
	})
	return changed, err
}

// versionOf reads Version under whatever capitals a device writes it with.
func versionOf(v codec.Value) (version int64, ok bool) {
	v.Each(func(key string, e codec.Value) bool {
		if strings.EqualFold(key, "version") {
			version, ok = e.Int()
		}
		return !ok
	})
	return version, ok
}
