package actionapi

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/fleet"
	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Sender is what the API needs of the way to a device.
type Sender interface {
	Send(ctx context.Context, m downlink.Message) (downlink.Outcome, error)
}

// Scripts is what the API needs of parse scripts.
type Scripts interface {
	Encode(ctx context.Context, product, topicName string, payload []byte) (raw []byte, ok bool, err error)
}

// Jobs is what the API needs of long work.
type Jobs interface {
	Create(ctx context.Context, n job.NewJob) (*job.Job, error)
}

var _ Jobs = (*job.Jobs)(nil)

// topicOf is TopicFullName, a topic of one kind of the product.
func topicOf(c *call, kind topic.Kind, like string) (topic.Topic, string, error) {
	name, err := c.need("TopicFullName")
	if err != nil {
		return topic.Topic{}, "", err
	}
	t, err := topic.Parse(name)
	if err != nil || topic.ValidName(name) != nil || t.Kind != kind || t.Device.Product != c.product.SN {
		return t, "", bad("TopicFullName", "must be a topic like /%s/%s", c.product.SN, like)
	}
	return t, name, nil
}

func (f *face) publish(ctx context.Context, c *call) (any, error) {
	t, name, err := topicOf(c, topic.Custom, "DEVICE/set")
	if err != nil {
		return nil, err
	}
	payload, err := c.decoded("MessageContent")
	if err != nil {
		return nil, err
	}
	qos, err := c.number("Qos", 0, 1)
	if err != nil {
		return nil, err
	}
	d, err := f.Devices.Device(ctx, t.Device)
	if err != nil {
		return nil, err
	}
	if payload, _, err = f.Scripts.Encode(ctx, c.product.SN, name, payload); err != nil {
		return nil, err
	}
	c.made = "/" + d.Identity.SN + "/publish"
	_, err = f.Sender.Send(ctx, downlink.Message{Device: d.Identity, Topic: name, Payload: payload, QoS: byte(qos), Queue: qos == 1})
	return nothing{}, err
}

// broadcast makes the job that sends the message to every device of the product, and does not wait for it.
func (f *face) broadcast(ctx context.Context, c *call) (any, error) {
	t, _, err := topicOf(c, topic.Broadcast, "$broadcast/news")
	if err != nil {
		return nil, err
	}
	m := fleet.Mailing{Topic: t.Tail, Broadcast: true, QoS: 1}
	if m.Payload, err = c.decoded("MessageContent"); err != nil {
		return nil, err
	}
	n := job.NewJob{Kind: fleet.KindMessage, Project: account.From(ctx).Project, Product: c.product.SN, Owner: callerOf(ctx)}
	if n.Spec, err = m.Spec(); err != nil {
		return nil, err
	}
	_, err = f.Jobs.Create(ctx, n)
	return nothing{}, err
}
