package thingmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// MaxTimeout bounds how long a caller may wait.
const MaxTimeout = 10 * time.Minute

// Command calls.
type Command struct {
	Identifier string
	Input      []byte        // a JSON object; nil is {}
	Async      bool          // do not wait for the answer
	Timeout    time.Duration // how long the device has to answer; 0 is DefaultTimeout
	Queue      time.Duration // how long the command may wait for a device that is not there; 0: it may not
	By         string        // who calls, for the record
}

// Result is what came of a command.
type Result struct {
	RequestID string
	Status    string          // StatusSucceeded or StatusFailed by the device's answer, StatusSent without one yet, StatusQueued
	Code      message.Code    // the device's RetCode; CodeOK for a call without an answer yet
	Output    json.RawMessage // the device's answer, nil without one
}

// CodeOf is the RetCode that stands for an error of this package.
func CodeOf(err error) message.Code {
	var v *thing.Violation
	switch {
	case err == nil:
		return message.CodeOK
	case errors.Is(err, ErrBadReply): // before what is wrong with it
		return message.CodeBadCommandReply
	case errors.As(err, &v):
		return v.Code
	case errors.Is(err, ErrOffline), errors.Is(err, ErrNotSubscribed), errors.Is(err, ErrQueueFull):
		return message.CodeNotOnline
	case errors.Is(err, ErrTimeout):
		return message.CodeCommandTimeout
	case errors.Is(err, ErrNoModel):
		return message.CodePropertyUndefined
	}
	return message.CodeInternal
}

// Command calls a command of a device. A synchronous call returns with the device's answer, ErrTimeout, or what kept it
// from the device; an asynchronous one when the command went out. With Queue a command for a device that is not there, or
// behind others that wait for it, waits. The record has all of them.
func (t *Things) Command(ctx context.Context, dev ident.Device, c Command) (Result, error) {
	d, model, err := t.target(ctx, dev)
	if err != nil {
		return Result{}, err
	}
	r, err := t.newRecord(d, model, &c)
	if err != nil {
		return Result{}, err
	}
	ctx = message.WithID(ctx, message.ID(r.ID))
	if c.Queue > 0 && t.waiting.has(d.ID) {
		if err := t.insertQueued(ctx, r); err != nil {
			return Result{}, err
		}
		return Result{RequestID: r.RequestID, Status: StatusQueued}, nil
	}
	r.send(t.now())
	if err := t.Store.Do(ctx, &store.Unit{Device: d.ID, Ops: []store.Op{r.insert()}}); err != nil {
		return Result{}, fmt.Errorf("thingmodel: record command: %w", err)
	}
	call := outgoing{device: d, id: r.RequestID, topic: topic.System(dev, topic.Command), timeout: r.Timeout,
		payload: commandPayload(r.RequestID, r.Identifier, r.Input)}
	res := Result{RequestID: r.RequestID, Status: StatusSent}
	if c.Async {
		err = t.Caller.Send(ctx, dev, call.topic, call.payload, t.now().Add(call.timeout))
	} else {
		res, err = t.command(ctx, &call, c.Identifier, model)
	}
	if err != nil && c.Queue > 0 && away(err) {
		// The note outlives the caller, who may have gone away.
		if err := t.requeue(context.WithoutCancel(ctx), r); err != nil {
			return res, err
		}
		return Result{RequestID: r.RequestID, Status: StatusQueued}, nil
	}
	if err != nil {
		t.failed(ctx, r, err)
	}
	return res, err
}

// away tells whether the device is not there to take a command now.
func away(err error) bool { return errors.Is(err, ErrOffline) || errors.Is(err, ErrNotSubscribed) }

// outgoing is a request to a device.
type outgoing struct {
	device  *registry.Device
	id      string
	topic   string
	payload []byte
	timeout time.Duration
}

func (t *Things) command(ctx context.Context, c *outgoing, identifier string, model *thing.Model) (Result, error) {
	r := Result{RequestID: c.id, Status: StatusFailed}
	answer, err := t.call(ctx, c)
	if err != nil {
		return r, err
	}
	defer answer.Release()
	code, ok := retCode(answer.Root())
	output := answer.Root().Get("Output")
	if !ok {
		return r, ErrBadReply
	}
	if r.Code = code; r.Code == message.CodeOK {
		if err := model.CheckOutput(identifier, output); err != nil {
			return r, fmt.Errorf("%w: %w", ErrBadReply, err)
		}
		r.Status = StatusSucceeded
	}
	if output.Kind() == codec.Object {
		r.Output = output.AppendJSON(nil)
	}
	return r, nil
}

// call sends a request and decodes the answer, which the caller releases.
func (t *Things) call(ctx context.Context, c *outgoing) (*codec.Doc, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	b, err := t.Caller.Call(ctx, c.device.Identity, c.topic, c.payload, c.id)
	if err != nil {
		return nil, err
	}
	doc, err := codec.Decode(b, codec.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadReply, err)
	}
	return doc, nil
}

// failed notes in a record why there is no answer. One that comes late still replaces it. A caller who went away while the
// device had time changes nothing.
func (t *Things) failed(ctx context.Context, r *Record, why error) {
	if errors.Is(why, context.Canceled) || errors.Is(why, ErrBadReply) { // the answer itself is in the record
		return
	}
	// The note outlives the caller, who may have gone away.
	err := t.Store.Do(context.WithoutCancel(ctx), &store.Unit{Device: r.device, Ops: []store.Op{failRecord.Op(int64(CodeOf(why)),
		plainText(why), t.now().UnixMilli(), flag(errors.Is(why, ErrTimeout)), r.ID)}})
	if err != nil {
		t.Log.Warn("command record not written", "product", r.dev.Product, "device", r.dev.SN, "request_id", r.RequestID, "err", err)
	}
}

// target returns a device and its model.
func (t *Things) target(ctx context.Context, dev ident.Device) (*registry.Device, *thing.Model, error) {
	_, model, err := t.model(ctx, dev.Product)
	if err != nil {
		return nil, nil, err
	}
	d, err := t.Registry.Device(ctx, dev)
	if err != nil {
		return nil, nil, err
	}
	return d, model, nil
}

func checkTimeout(d time.Duration) (time.Duration, error) {
	switch {
	case d == 0:
		return DefaultTimeout, nil
	case d < 0 || d > MaxTimeout:
		return 0, &ErrInvalid{"timeout", "must be between 0 and " + MaxTimeout.String()}
	}
	return d, nil
}

// checkInput returns the input as it is sent, {} for none.
func checkInput(model *thing.Model, c Command) ([]byte, error) {
	var input codec.Value
	if len(c.Input) > 0 {
		doc, err := codec.Decode(c.Input, codec.DefaultLimits())
		if err != nil {
			return nil, &ErrInvalid{"input", err.Error()}
		}
		defer doc.Release()
		input = doc.Root()
	}
	if err := model.CheckInput(c.Identifier, input); err != nil {
		return nil, err
	}
	return model.AppendInput(nil, c.Identifier, input), nil
}

// commandPayload is {"RequestID":"7","Identifier":"down","Input":{"v":1}}.
func commandPayload(requestID, identifier string, input []byte) []byte {
	b := append(make([]byte, 0, 64+len(input)), `{"RequestID":`...)
	b = codec.AppendString(b, requestID)
	b = codec.AppendString(append(b, `,"Identifier":`...), identifier)
	b = append(append(b, `,"Input":`...), input...)
	return append(b, '}')
}

// commandReply takes {"RequestID":"7","RetCode":0,"Identifier":"down","Output":{"now":20}}: into the record, then to the
// caller who waits. Rules see the message itself.
func (t *Things) commandReply(ctx context.Context, m *uplink.Message) error {
	root, err := m.Root()
	if err != nil {
		return err
	}
	id := m.Topic.Tail
	if id == "" {
		return uplink.Refuse(message.CodeMissing, "the topic lacks the RequestID")
	}
	status, code, text, err := t.judge(ctx, m.Device.Product, root)
	if err != nil {
		return err
	}
	var output string
	if o := root.Get("Output"); o.Kind() == codec.Object {
		output = string(o.AppendJSON(nil))
	}
	m.Stage(endRecord.Op(output, int64(code), text, status, m.At.UnixMilli(), m.DeviceID, strings.Clone(id)))
	t.answerAfter(m, id, root)
	return nil
}

// judge says what the record has of an answer.
func (t *Things) judge(ctx context.Context, productSN string, root codec.Value) (status string, code message.Code, text string, err error) {
	told, ok := retCode(root)
	if !ok {
		return StatusFailed, message.CodeBadCommandReply, "the answer has no RetCode", nil
	}
	text, _ = root.Get("Message").Str()
	text = strings.Clone(text)
	if told != message.CodeOK {
		return StatusFailed, told, text, nil
	}
	identifier, named := root.Get("Identifier").Str()
	if !named {
		return StatusSucceeded, message.CodeOK, text, nil
	}
	_, model, err := t.model(ctx, productSN)
	if err != nil {
		return "", 0, "", refusal(err)
	}
	if err := model.CheckOutput(identifier, root.Get("Output")); err != nil {
		return StatusFailed, message.CodeBadCommandReply, err.Error(), nil
	}
	return StatusSucceeded, message.CodeOK, text, nil
}

// answerAfter wakes the caller who waits for the answer, once it is committed.
func (t *Things) answerAfter(m *uplink.Message, requestID string, root codec.Value) {
	dev, requestID, payload := m.Device, strings.Clone(requestID), root.AppendJSON(nil)
	m.After(func(err error) {
		if err == nil {
			t.Caller.Answer(dev, requestID, payload)
		}
	})
}

// setReply takes {"RequestID":"2","RetCode":0}.
func (t *Things) setReply(m *uplink.Message) error {
	root, err := m.Root()
	if err != nil {
		return err
	}
	id, code := m.RequestID()
	if !code.OK() {
		return uplink.Refuse(code, "RequestID is missing or malformed")
	}
	t.answerAfter(m, id, root)
	return nil
}
