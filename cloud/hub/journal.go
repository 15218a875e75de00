package hub

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/ingress"
	"github.com/hawser-iot/hawser/cloud/messagelog"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// messageLog is the message log's share of the configuration.
func (c *Config) messageLog(node string) messagelog.Config {
	m := messagelog.DefaultConfig(filepath.Join(c.Data, "messagelog"))
	m.Node, m.Payload = node, c.MessageLogPayload
	m.Segment.MaxAge, m.Segment.MaxBytes = c.MessageLogAge, int64(c.MessageLogSize)<<20
	m.Level, _ = messagelog.ParseLevel(c.MessageLog) // Validate has looked
	return m
}

// journal is the message log in the words of those who tell it something. Without a log it keeps nothing.
type journal struct {
	log *messagelog.Log
	ids interface{ Next() message.ID }
}

var (
	_ broker.Journal = journal{}
	_ rules.Journal  = journal{}

	_ downlink.Journal = journal{}
	_ ingress.Journal  = journal{}
	_ presence.Journal = journal{}
)

// journal is what senders tell; one of a hub that keeps no log has none, so that it costs nothing.
func (h *Hub) journal() journal {
	j := journal{ids: h.numbers}
	if h.cfg.MessageLog != "off" {
		j.log = h.messages
	}
	return j
}

// told is j, or nothing, which costs a part nothing, in a hub that keeps no log. J must be an interface.
func told[J any](h *Hub, j J) (none J) {
	if h.cfg.MessageLog == "off" {
		return none
	}
	return j
}

// Behaved implements broker.Journal.
func (j journal) Behaved(b broker.Behaviour) {
	r := messagelog.Record{At: b.At, Kind: messagelog.KindConnection, Result: b.Result, Product: b.Device.Product, Device: b.Device.SN,
		Application: b.Application, Project: b.Project, Action: b.Action, Topic: b.Topic, QoS: b.QoS, Took: b.Took}
	if b.Action == broker.ActionPublish { // a message that has not come as far as the path
		if r.Kind = messagelog.KindUplink; b.Application != "" {
			r.Kind, r.Action = messagelog.KindDownlink, ""
		}
		r.Payload, r.Size = b.Payload, len(b.Payload)
		if t, err := topic.Parse(b.Topic); err == nil {
			r.Payload, r.Masked = messagelog.Mask(t.Kind, b.Payload)
		}
		r.Hops = []uplink.Hop{{Name: doorHop(b.Detail), Result: b.Result, Code: message.CodeNoPermission, Reason: b.Reason}}
	} else if b.Reason != "" || b.Detail != "" {
		r.Hops = []uplink.Hop{{Name: "door", Result: b.Result, Reason: b.Reason, Detail: b.Detail}}
	}
	j.log.Add(context.Background(), &r)
}

// doorHop is the hop at which the door stops a message, by what it calls the reason.
func doorHop(what string) string {
	if what == "publish" {
		return "topic"
	}
	return what // size, retain
}

// Asked implements ingress.Journal.
func (j journal) Asked(q ingress.Request) {
	h := uplink.Hop{Name: "door", Result: uplink.OK, Code: q.Code, Reason: q.Reason, Detail: q.Remote + " http"}
	r := messagelog.Record{At: q.At, Kind: messagelog.KindConnection, Product: q.Device.Product, Device: q.Device.SN, Action: q.Action, Topic: q.Topic}
	if q.Action == ingress.ActionPublish {
		r.Kind, r.Action, h.Name = messagelog.KindUplink, "", "topic"
		if q.Code == message.CodeTooLong {
			h.Name = "size"
		}
	}
	switch q.Code {
	case message.CodeOK:
	case message.CodeInternal:
		h.Result = uplink.Failed
	default:
		h.Result = uplink.Refused
	}
	r.Result, r.Hops = h.Result, []uplink.Hop{h}
	j.log.Add(context.Background(), &r)
}

// Delivery implements rules.Journal.
func (j journal) Delivery(d rules.Delivery) {
	rec := d.Record
	h := uplink.Hop{Name: "sink", Result: uplink.OK, Took: d.Took, Detail: "rule " + d.Rule + ", action " + strconv.FormatInt(d.Action, 10)}
	if d.Err != nil {
		h.Result, h.Reason = uplink.Waiting, d.Err.Error()+": it is tried again"
		if d.Dead {
			h.Result, h.Reason = uplink.Failed, d.Err.Error()+": it is a dead letter"
		}
	}
	j.log.Add(context.Background(), &messagelog.Record{At: time.Now(), Kind: messagelog.KindDelivery, Result: h.Result, ID: rec.MessageID,
		Product: rec.Device.Product, Device: rec.Device.SN, Action: d.Sink, Topic: rec.Topic, Payload: rec.Result, Size: len(rec.Result),
		Took: d.Waited, Hops: []uplink.Hop{h}})
}

// Number is the number of what is sent under the context that comes with it.
func (j journal) Number(ctx context.Context) (context.Context, message.ID) {
	id := message.IDOf(ctx)
	if id == 0 {
		id = j.ids.Next()
		ctx = message.WithID(ctx, id)
	}
	return ctx, id
}

// under gives what goes down the number that it is logged under: that of the message which causes it, or one of its own.
func (j journal) under(ctx context.Context) context.Context {
	if j.log == nil || message.IDOf(ctx) != 0 {
		return ctx
	}
	ctx, _ = j.Number(ctx)
	return ctx
}

// Taken implements downlink.Journal.
func (j journal) Taken(dev ident.Device, topicName string, id message.ID, since time.Time) {
	now := time.Now()
	j.log.Add(context.Background(), &messagelog.Record{At: now, Kind: messagelog.KindDownlink, Result: uplink.OK, ID: id, Product: dev.Product,
		Device: dev.SN, Topic: topicName, QoS: 1, Took: now.Sub(since),
		Hops: []uplink.Hop{{Name: "device", Result: uplink.OK, Reason: "the device has acknowledged it"}}})
}

// Lost implements downlink.Journal.
func (j journal) Lost(dev ident.Device, topicName string, id message.ID, why string) {
	now := time.Now()
	j.log.Add(context.Background(), &messagelog.Record{At: now, Kind: messagelog.KindDownlink, Result: uplink.Failed, ID: id, Product: dev.Product,
		Device: dev.SN, Topic: topicName, QoS: 1, Took: now.Sub(id.Time()),
		Hops: []uplink.Hop{{Name: "delivery", Result: uplink.Failed, Code: message.CodePublishFailed, Reason: why}}})
}

// Carried implements presence.Journal.
func (j journal) Carried(sub, gateway ident.Device, online bool, why string, at time.Time) {
	r := messagelog.Record{At: at, Kind: messagelog.KindConnection, Result: uplink.OK, Product: sub.Product, Device: sub.SN, Action: broker.ActionLogin,
		Hops: []uplink.Hop{{Name: "door", Result: uplink.OK, Reason: why, Detail: "through gateway " + gateway.String()}}}
	if !online {
		r.Action = broker.ActionLogout
	}
	j.log.Add(context.Background(), &r)
}

// down tells of a message to a device: how it got on its way, and, when somebody waited for it, what the device answered.
func (j journal) down(ctx context.Context, at time.Time, m *downlink.Message, out downlink.Outcome, reply []byte, err error, more ...uplink.Hop) {
	if j.log == nil {
		return
	}
	took := time.Since(at)
	r := messagelog.Record{At: at, Kind: messagelog.KindDownlink, Result: uplink.OK, ID: message.IDOf(ctx), Product: m.Device.Product,
		Device: m.Device.SN, Application: m.By, Topic: m.Topic, QoS: m.QoS, Size: len(m.Payload), Took: took}
	t, parseErr := topic.Parse(m.Topic)
	r.Payload = m.Payload
	if parseErr == nil {
		r.Payload, r.Masked = messagelog.Mask(t.Kind, m.Payload)
	}
	r.Hops = append(hopsDown(out, reply, err, took), more...)
	r.Result = r.Hops[len(r.Hops)-1].Result
	j.log.Add(ctx, &r)
}

// request tells of a message that a device was to answer as it likes.
func (j journal) request(ctx context.Context, at time.Time, m *downlink.Message, err error) {
	var answered []uplink.Hop
	if err == nil {
		answered = []uplink.Hop{{Name: "answer", Result: uplink.OK, Took: time.Since(at)}}
	}
	j.down(ctx, at, m, downlink.Delivered, nil, err, answered...)
}

// hopsDown are the hops of a message to a device.
func hopsDown(out downlink.Outcome, reply []byte, err error, took time.Duration) []uplink.Hop {
	h := uplink.Hop{Name: "delivery", Result: uplink.OK, Took: took}
	unanswered := errors.Is(err, downlink.ErrNoAnswer)
	switch {
	case unanswered, err == nil && out != downlink.Queued:
		h.Reason = "handed to the device's connection"
	case err == nil:
		h.Result, h.Reason = uplink.Waiting, "the device is away: it waits in the device's queue"
	case errors.Is(err, downlink.ErrOffline), errors.Is(err, downlink.ErrNotSubscribed):
		h.Result, h.Code, h.Reason = uplink.Failed, message.CodeNotOnline, err.Error()
	default:
		h.Result, h.Code, h.Reason = uplink.Failed, message.CodePublishFailed, err.Error()
	}
	if !unanswered && reply == nil {
		return []uplink.Hop{h}
	}
	h.Took = 0
	answer := uplink.Hop{Name: "answer", Result: uplink.OK, Took: took}
	if unanswered {
		answer.Result, answer.Code, answer.Reason = uplink.Failed, message.CodeCommandTimeout, "the device did not answer in time"
	} else if code, ok := retCode(reply); !ok {
		answer.Result, answer.Code, answer.Reason = uplink.Failed, message.CodeBadCommandReply, "the answer has no RetCode"
	} else if answer.Code = code; !code.OK() {
		answer.Result, answer.Reason = uplink.Failed, "the device answered RetCode "+strconv.Itoa(int(code))
	}
	return []uplink.Hop{h, answer}
}

// retCode is what a device answered.
func retCode(reply []byte) (message.Code, bool) {
	doc, err := codec.Decode(reply, codec.DefaultLimits())
	if err != nil {
		return 0, false
	}
	defer doc.Release()
	n, ok := doc.Root().Get("RetCode").Int()
	return message.Code(n), ok
}
