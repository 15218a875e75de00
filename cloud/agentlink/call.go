package agentlink

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// What an agent must be able to, beyond the channel's version, for what is said here.
const (
	capConfig = string(agentmsg.TypeConfig)
	capBundle = "bundle"
	capBusy   = "busy"
)

// call is an agent that something may have to be said to.
type call struct {
	id     int64
	device ident.Device
	caps   []string // nil: what it has said last
}

// Call has an agent told what there is for it, if it is connected to any node: a configuration, or the request for a bundle.
func (l *Links) Call(id int64, device ident.Device) { l.enqueue(call{id: id, device: device}) }

func (l *Links) enqueue(c call) {
	if l.Sender == nil {
		return
	}
	select {
	case l.calls <- c:
	default:
		l.Log.Warn("an agent is told what there is for it with its next hello", "product", c.device.Product, "device", c.device.SN)
	}
}

// callAfter calls an agent when what it has said is committed.
func (l *Links) callAfter(m *uplink.Message, caps []string) {
	c := call{m.DeviceID, ident.Device{Product: m.Device.Product, SN: m.Device.SN}, slices.Clone(caps)}
	if !slices.Contains(caps, capConfig) && !slices.Contains(caps, capBundle) {
		return
	}
	m.After(func(err error) {
		if err == nil {
			l.enqueue(c)
		}
	})
}

// serve says to an agent what there is for it.
func (l *Links) serve(ctx context.Context, c call) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.StoreWait)
	defer cancel()
	var err error
	if c.caps == nil {
		var info Info
		info, err = l.Agent(ctx, c.id)
		c.caps = info.Caps
	}
	if err == nil {
		err = l.offer(ctx, c)
	}
	if err == nil {
		err = l.askAgain(ctx, c)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrUnknown) {
		l.Log.Warn("an agent was not told what there is for it", "product", c.device.Product, "device", c.device.SN, "err", err)
	}
}

func (l *Links) offer(ctx context.Context, c call) error {
	if l.Configs == nil || !slices.Contains(c.caps, capConfig) {
		return nil
	}
	b, err := l.Configs.Offer(ctx, c.id, c.device)
	if err != nil || b == nil {
		return err
	}
	return l.tell(ctx, c.device, &agentmsg.Config{Bytes: b})
}

// tell says something to an agent on any node; one that is away hears it, or does without, when it is back.
func (l *Links) tell(ctx context.Context, id ident.Device, m agentmsg.Message) error {
	b, err := agentmsg.Marshal(m)
	if err == nil {
		err = l.Sender.Send(ctx, id, topic.System(id, topic.AgentDown), b)
	}
	return err
}

// told takes what an agent says of its configuration.
func (l *Links) told(m *uplink.Message, said *agentmsg.ConfigState) error {
	if l.Configs == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.StoreWait)
	defer cancel()
	ops, err := l.Configs.Told(ctx, m.DeviceID, *said, m.Came)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	m.Stage(ops...)
	return nil
}
