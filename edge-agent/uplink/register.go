package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Registrar is a Downlink with sub-devices that have no secret yet.
type Registrar interface {
	// Unregistered are these, each with the secret of its product.
	Unregistered() map[ident.Device]credential.Secret
	// Registered keeps a secret. The hub gives it again until the sub-device has logged in, and then no more: it must last.
	Registered(d ident.Device, secret credential.Secret) error
}

// registerEvery is after how long a sub-device is asked for again that the hub has not registered.
const registerEvery = 10 * time.Minute

// registerAll has the hub register the sub-devices without secret. Those of a request that it refuses are asked for one by one.
func (c *carrier) registerAll(ctx context.Context) {
	from, ok := c.u.down.(Registrar)
	if !ok || time.Now().Before(c.register) {
		return
	}
	secrets := from.Unregistered()
	var list []message.Subdev
	for d, secret := range secrets {
		s := message.NewSubdev(d)
		s.ProductSecret = secret.Reveal()
		list = append(list, s)
	}
	if c.register = time.Now().Add(registerEvery); len(list) == 0 {
		return
	}
	for part := range slices.Chunk(list, topoBatch) {
		err := c.register1(ctx, from, part)
		if !errors.As(err, new(*refusedError)) {
			c.logRegister(ctx, part, err)
			continue
		}
		for i := range part {
			c.logRegister(ctx, part[i:i+1], c.register1(ctx, from, part[i:i+1]))
		}
	}
}

// register1 makes one request.
func (c *carrier) register1(ctx context.Context, from Registrar, part []message.Subdev) error {
	r, err := c.u.topo.ask(ctx, topic.SubdevRegister, part)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range r.Data {
		d, secret := s.Device(), credential.Secret(s.DeviceSecret)
		if secret == "" || !slices.ContainsFunc(part, func(p message.Subdev) bool { return p.Device() == d }) {
			continue
		}
		if err := from.Registered(d, secret); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", d, err))
			continue
		}
		c.u.Admitted(d, secret)
		c.u.log.Info("sub-device registered", "product", d.Product, "device", d.SN)
	}
	return errors.Join(errs...)
}

func (c *carrier) logRegister(ctx context.Context, part []message.Subdev, err error) {
	if err != nil && ctx.Err() == nil {
		c.u.log.Warn("sub-devices are not registered", "first", part[0].Device().String(), "n", len(part), "err", err, "retry_in", registerEvery)
	}
}

// Found tells the hub's rules of a sub-device that is there and not behind this gateway.
func (u *Uplink) Found(d ident.Device) {
	_, body, err := u.topo.encode([]message.Subdev{message.NewSubdev(d)})
	if err != nil {
		u.log.Error("a sub-device that was found can't be told of", "product", d.Product, "device", d.SN, "err", err)
		return
	}
	u.buf.Append(buffer.Record{Topic: topic.System(u.link.Device(), topic.TopoFound), Payload: body, QoS: 1, Time: u.clock.now()}, func(err error) {
		if err != nil && !errors.Is(err, buffer.ErrClosed) {
			u.log.Warn("a sub-device that was found can't be told of", "product", d.Product, "device", d.SN, "err", err)
		}
	})
}
