package script

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/script/pool"
	"github.com/hawser-iot/hawser/cloud/script/wire"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

var _ uplink.Parser = (*Scripts)(nil)

// What a device is told. The codes of MQTT 5.0 say whether its payload is at fault or what the hub does with it.
var (
	refuseNone = refusal(message.CodeNoPermission, packet.ImplementationSpecific, "the product has no parse script")
	refuseUp   = refusal(message.CodeNoPermission, packet.ImplementationSpecific, "the parse script has no rawDataToJSON")
	paused     = refusal(message.CodePublishFailed, packet.ImplementationSpecific, "the parse script is paused")
)

func refusal(code message.Code, five packet.Code, reason string) *uplink.Refusal {
	r := uplink.Refuse(code, reason)
	r.Five = &server.Rejection{Code: five, Reason: reason}
	return r
}

// Parse implements uplink.Parser: it runs rawDataToJSON of the message's product.
func (s *Scripts) Parse(ctx context.Context, m *uplink.Message, done func(json []byte, err error)) {
	c, err := s.of(ctx, m.Device.Product)
	switch {
	case err != nil:
		s.Log.Error("parse script not read", "product", m.Device.Product, "err", err)
		done(nil, errors.Join(server.ErrUnavailable, err))
		return
	case c.script == nil:
		s.refused(m, refuseNone, done)
		return
	case !c.script.Up:
		s.refused(m, refuseUp, done)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Wait)
	defer cancel() // it bounds the wait for room alone
	s.pool.Submit(ctx, &pool.Call{Script: c.run, Function: wire.Up, Topic: m.Name, Payload: m.Payload,
		Done: func(r wire.Result, err error) { s.parsed(m, c.script, r, err, done) }})
}

func (s *Scripts) refused(m *uplink.Message, r *uplink.Refusal, done func([]byte, error)) {
	s.metrics.refused.Inc()
	s.Log.Info("message not parsed", "product", m.Device.Product, "device", m.Device.SN, "topic", m.Name, "message_id", m.ID, "err", r.Reason)
	done(nil, r)
}

// parsed goes on with what a script has made of a message.
func (s *Scripts) parsed(m *uplink.Message, script *Script, r wire.Result, err error, done func([]byte, error)) {
	switch {
	case errors.Is(err, pool.ErrPaused):
		s.refused(m, paused, done)
	case err != nil:
		s.Log.Warn("message not parsed: no worker was available", "product", m.Device.Product, "device", m.Device.SN, "message_id", m.ID, "err", err)
		done(nil, errors.Join(server.ErrUnavailable, err))
	case r.Status == wire.OK:
		s.metrics.parsed.Inc()
		done(r.Body, nil)
	default:
		s.metrics.failed.Inc()
		s.Log.Info("parse script failed", "product", m.Device.Product, "device", m.Device.SN, "topic", m.Name, "message_id", m.ID,
			"revision", script.Revision, "line", r.Line, "column", r.Column, "reason", r.Reason)
		if r.Console != "" {
			s.Log.Debug("parse script printed", "product", m.Device.Product, "device", m.Device.SN, "message_id", m.ID, "console", r.Console)
		}
		done(nil, refusalOf(faultOf(&r)))
	}
}

// refusalOf is a fault as its device is told of it.
func refusalOf(f *Fault) *uplink.Refusal {
	reason := simple(strings.TrimPrefix(f.Error(), "script: "))
	switch f.status {
	case wire.Thrown, wire.BadResult:
		return refusal(message.CodeBad, packet.PayloadFormatInvalid, reason)
	}
	return refusal(message.CodePublishFailed, packet.ImplementationSpecific, reason)
}

// maxReason bounds what a device is told, in bytes.
const maxReason = 200

// simple makes words of a script fit for a device, whose parser may be one of the simplest.
func simple(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune("{}[]\"\\", r):
			return '\''
		case r < ' ' || r > '~':
			return ' '
		}
		return r
	}, s)
	return s[:min(len(s), maxReason)]
}

// faultOf is how a call failed, nil when it did not.
func faultOf(r *wire.Result) *Fault {
	if r.Status == wire.OK {
		return nil
	}
	return &Fault{Kind: pool.StatusName(r.Status), Line: int(r.Line), Column: int(r.Column), Reason: r.Reason, Console: r.Console, status: r.Status}
}

// call runs a call and waits for its end.
func (s *Scripts) call(ctx context.Context, c *pool.Call) (wire.Result, error) {
	type end struct {
		r   wire.Result
		err error
	}
	ends := make(chan end, 1)
	c.Done = func(r wire.Result, err error) { ends <- end{r, err} }
	s.pool.Submit(ctx, c)
	select {
	case e := <-ends:
		if errors.Is(e.err, pool.ErrStopped) {
			return e.r, errors.Join(ErrBusy, e.err)
		}
		return e.r, e.err
	case <-ctx.Done():
		return wire.Result{}, ctx.Err()
	}
}

// check compiles a script, runs it once without calling anything, and tells what it defines.
func (s *Scripts) check(ctx context.Context, product, source string) (d wire.Defines, err error) {
	r, err := s.call(ctx, &pool.Call{Script: s.pool.Draft(product, source), Function: wire.Check})
	if err != nil {
		return d, err
	}
	if f := faultOf(&r); f != nil {
		return d, f
	}
	return d, d.Decode(r.Body)
}

// Encode runs jsonToRawData of a product's script; ok is false, and payload as it was, when it has none or payload is no JSON object.
func (s *Scripts) Encode(ctx context.Context, product, topicName string, payload []byte) (raw []byte, ok bool, err error) {
	if !bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("{")) || !json.Valid(payload) {
		return payload, false, nil
	}
	c, err := s.of(ctx, product)
	if err != nil {
		return nil, false, err
	}
	if c.script == nil || !c.script.Down {
		return payload, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Wait)
	defer cancel()
	r, err := s.call(ctx, &pool.Call{Script: c.run, Function: wire.Down, Topic: topicName, Payload: payload})
	if err != nil {
		return nil, false, err
	}
	if f := faultOf(&r); f != nil {
		s.metrics.failed.Inc()
		s.Log.Info("script failed", "product", product, "topic", topicName, "function", wire.Down.String(), "revision", c.script.Revision, "line", r.Line, "column", r.Column, "reason", r.Reason)
		return nil, false, f
	}
	s.metrics.encoded.Inc()
	return r.Body, true, nil
}

// Trial is a call whose result is looked at and goes nowhere.
type Trial struct {
	Source  *string // nil: the product's own
	Down    bool    // jsonToRawData instead of rawDataToJSON
	Topic   string
	Payload []byte // raw, or JSON for Down
}

// Outcome is what became of a Trial.
type Outcome struct {
	Result    []byte // JSON, or raw bytes for Down
	Fault     *Fault // nil when it went well
	Console   string
	CPU, Wall time.Duration
	Memory    int64 // bytes that the call took from the heap
}

// Try runs a Trial.
func (s *Scripts) Try(ctx context.Context, product string, t Trial) (*Outcome, error) {
	var source string
	if t.Source != nil {
		source = *t.Source
		if err := checkText("source", source, 1, MaxSource); err != nil {
			return nil, err
		}
	} else {
		script, err := s.Get(ctx, product)
		if err != nil {
			return nil, err
		}
		source = script.Source
	}
	c := &pool.Call{Script: s.pool.Draft(product, source), Function: wire.Up, Verbose: true, Topic: t.Topic, Payload: t.Payload}
	if t.Down {
		c.Function = wire.Down
	}
	r, err := s.call(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Outcome{Result: r.Body, Fault: faultOf(&r), Console: r.Console, CPU: r.CPU, Wall: r.Wall, Memory: int64(r.Memory)}, nil
}
