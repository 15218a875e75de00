package thingmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// The states of a command in the command log.
const (
	StatusSent    = "sent"    // on its way, no answer yet
	StatusDone    = "done"    // the device answered; Code is its RetCode
	StatusFailed  = "failed"  // it did not reach the device
	StatusTimeout = "timeout" // the device did not answer in time
	StatusBad     = "bad"     // the device's answer does not fit the definition
)

// maxTimeout bounds how long a caller may wait.
const maxTimeout = 10 * time.Minute

// Command calls.
type Command struct {
	Identifier string
	Input      []byte        // a JSON object; nil is {}
	Async      bool          // do not wait for the answer
	Timeout    time.Duration // 0 is DefaultTimeout
}

// Result is what came of a command.
type Result struct {
	RequestID string
	Code      message.Code    // the device's RetCode; CodeOK for an asynchronous call that went out
	Output    json.RawMessage // the device's answer, nil for an asynchronous call
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
	case errors.Is(err, ErrOffline), errors.Is(err, ErrNotSubscribed):
		return message.CodeNotOnline
	case errors.Is(err, ErrTimeout):
		return message.CodeCommandTimeout
	case errors.Is(err, ErrNoModel):
		return message.CodePropertyUndefined
	}
	return message.CodeInternal
}

var (
	logCommand = store.NewStmt(`INSERT INTO command_log (id, device, request_id, identifier, input, output, code, status, created_at, done_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	endCommand = store.NewStmt(`UPDATE command_log SET output = ?, code = ?, status = ?, done_at = ?
		WHERE device = ? AND request_id = ? AND status <> 'done'`)
)

// Command calls a command of a device. A synchronous call returns with the device's answer, ErrTimeout, or what kept it
// from the device; an asynchronous one when the command went out. The command log has both.
func (t *Things) Command(ctx context.Context, dev ident.Device, c Command) (Result, error) {
	d, model, err := t.target(ctx, dev)
	if err != nil {
		return Result{}, err
	}
	timeout, err := checkTimeout(c.Timeout)
	if err != nil {
		return Result{}, err
	}
	input, err := checkInput(model, c)
	if err != nil {
		return Result{}, err
	}
	call := outgoing{device: d, id: t.Caller.NextRequestID(), topic: topic.System(dev, topic.Command), timeout: timeout}
	call.payload = commandPayload(call.id, c.Identifier, input)
	err = t.Store.Do(ctx, &store.Unit{Device: d.ID, Ops: []store.Op{logCommand.Op(int64(t.IDs.Next()), d.ID, call.id, c.Identifier,
		string(input), "", int64(0), StatusSent, t.now().UnixMilli(), int64(0))}})
	if err != nil {
		return Result{}, fmt.Errorf("thingmodel: log command: %w", err)
	}
	if c.Async {
		err := t.Caller.Send(ctx, dev, call.topic, call.payload, t.now().Add(timeout))
		if err != nil {
			t.failed(ctx, &call, err)
		}
		return Result{RequestID: call.id}, err
	}
	return t.command(ctx, &call, c.Identifier, model)
}

// outgoing is a request to a device.
type outgoing struct {
	device  *registry.Device
	id      string
	topic   string
	payload []byte
	timeout time.Duration
}

func (t *Things) command(ctx context.Context, c *outgoing, identifier string, model *thing.Model) (Result, error) {
	r := Result{RequestID: c.id}
	answer, err := t.call(ctx, c)
	if err != nil {
		t.failed(ctx, c, err)
		return r, err
	}
	defer answer.Release()
	code, ok := answer.Root().Get("RetCode").Int()
	output := answer.Root().Get("Output")
	if !ok {
		return r, ErrBadReply
	}
	if r.Code = message.Code(code); r.Code == message.CodeOK {
		if err := model.CheckOutput(identifier, output); err != nil {
			return r, fmt.Errorf("%w: %w", ErrBadReply, err)
		}
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

// failed notes in the command log why there is no answer. An answer that comes late still replaces it.
func (t *Things) failed(ctx context.Context, c *outgoing, why error) {
	status := StatusFailed
	if errors.Is(why, ErrTimeout) {
		status = StatusTimeout
	}
	// The note outlives the caller, who may have gone away.
	err := t.Store.Do(context.WithoutCancel(ctx), &store.Unit{Device: c.device.ID,
		Ops: []store.Op{endCommand.Op("", int64(CodeOf(why)), status, t.now().UnixMilli(), c.device.ID, c.id)}})
	if err != nil {
		t.Log.Warn("command log not written", "product", c.device.Identity.Product, "device", c.device.Identity.SN, "request_id", c.id, "err", err)
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
	case d < 0 || d > maxTimeout:
		return 0, &ErrInvalid{"timeout", "must be between 0 and " + maxTimeout.String()}
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

// commandReply takes {"RequestID":"7","RetCode":0,"Identifier":"down","Output":{"now":20}}: into the log, then to the
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
	status, code, err := t.judge(ctx, m.Device.Product, root)
	if err != nil {
		return err
	}
	var output string
	if o := root.Get("Output"); o.Kind() == codec.Object {
		output = string(o.AppendJSON(nil))
	}
	m.Stage(endCommand.Op(output, int64(code), status, m.At.UnixMilli(), m.DeviceID, id))
	t.answerAfter(m, id, root)
	return nil
}

// judge says what the log has of an answer.
func (t *Things) judge(ctx context.Context, productSN string, root codec.Value) (status string, code message.Code, err error) {
	told, ok := root.Get("RetCode").Int()
	if !ok {
		return StatusBad, message.CodeBadCommandReply, nil
	}
	identifier, named := root.Get("Identifier").Str()
	if message.Code(told) != message.CodeOK || !named {
		return StatusDone, message.Code(told), nil
	}
	_, model, err := t.model(ctx, productSN)
	if err != nil {
		return "", 0, refusal(err)
	}
	if model.CheckOutput(identifier, root.Get("Output")) != nil {
		return StatusBad, message.CodeBadCommandReply, nil
	}
	return StatusDone, message.CodeOK, nil
}

// answerAfter wakes the caller who waits for the answer, once it is committed.
func (t *Things) answerAfter(m *uplink.Message, requestID string, root codec.Value) {
	dev, payload := m.Device, root.AppendJSON(nil)
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

// Logged is a row of the command log.
type Logged struct {
	ID            int64
	RequestID     string
	Identifier    string
	Input, Output json.RawMessage // nil when there is none
	Code          message.Code
	Status        string
	Created, Done time.Time // Done is zero while there is no answer
}

// Commands returns up to limit commands of a device, the newest first, older than the row before (0: from the newest).
func (t *Things) Commands(ctx context.Context, dev ident.Device, before int64, limit int) ([]Logged, error) {
	d, err := t.Registry.Device(ctx, dev)
	if err != nil {
		return nil, err
	}
	if before <= 0 {
		before = 1<<63 - 1
	}
	rows, err := t.Store.Query(ctx, `SELECT id, request_id, identifier, input, output, code, status, created_at, done_at FROM command_log
		WHERE device = ? AND id < ? ORDER BY id DESC LIMIT ?`, d.ID, before, min(max(limit, 1), 1000))
	if err != nil {
		return nil, fmt.Errorf("thingmodel: read command log: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below tells
	var list []Logged
	for rows.Next() {
		var (
			l             Logged
			input, output string
			code          int64
			created, done int64
		)
		if err := rows.Scan(&l.ID, &l.RequestID, &l.Identifier, &input, &output, &code, &l.Status, &created, &done); err != nil {
			return nil, fmt.Errorf("thingmodel: read command log: %w", err)
		}
		l.Input, l.Output, l.Code = raw(input), raw(output), message.Code(code)
		l.Created = time.UnixMilli(created).UTC()
		if done != 0 {
			l.Done = time.UnixMilli(done).UTC()
		}
		list = append(list, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("thingmodel: read command log: %w", err)
	}
	return list, nil
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}
