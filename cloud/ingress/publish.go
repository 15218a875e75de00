package ingress

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// publish takes a message up the path and answers when it is committed.
func (in *Ingress) publish(ctx context.Context, r *http.Request) (message.Code, string, []byte) {
	dev, product, code := in.sender(ctx, r.Header.Get("Password"))
	if !code.OK() {
		return code, "", nil
	}
	name := topicOf(r.URL.Path, r.URL.RawQuery)
	t, ok := auth.Permissions(dev.Identity, product).Publish(name)
	if !ok || product.Kind == registry.KindSubdevice {
		return in.deny(r, dev, name, message.CodeNoPermission), "", nil
	}
	body, code := read(r, in.cfg.MaxBody)
	if !code.OK() {
		return in.deny(r, dev, name, code), "", nil
	}
	m := in.Path.New()
	m.ID = in.Path.IDs.Next()
	m.Device, m.DeviceID, m.Product = dev.Identity, dev.ID, product
	m.Topic, m.Name, m.Payload, m.QoS = t, name, body, 1
	id := m.ID
	in.answer(ctx, m)
	if err := in.take(ctx, m); err != nil {
		return failed(err)
	}
	in.seen(dev)
	return message.CodeOK, "", append(id.Append([]byte(`,"MessageID":"`)), `"}`...)
}

// answer has a request that waits for this message get it when it is committed, on whichever node it was made.
func (in *Ingress) answer(ctx context.Context, m *uplink.Message) {
	if in.Requests == nil || m.Topic.Kind != topic.Custom {
		return
	}
	holder, err := in.Requests.Holder(ctx, m.DeviceID)
	if err != nil {
		in.Log.Warn("answer to a request not looked for", "device", m.Device, "topic", m.Name, "err", err)
		return
	}
	m.Also = func(m *uplink.Message) {
		m.After(func(err error) {
			if err == nil {
				in.Requests.AnswerAt(holder, m.Device, m.Name, m.Payload)
			}
		})
	}
}

// deny notes that a message was refused before the path.
func (in *Ingress) deny(r *http.Request, dev *registry.Device, name string, code message.Code) message.Code {
	in.asked(Request{At: in.now(), Device: dev.Identity, Action: ActionPublish, Code: code, Reason: code.Text(), Remote: r.RemoteAddr, Topic: name})
	return code
}

// take waits for the path, as long as the client does. A message whose client has given up may still be committed.
func (in *Ingress) take(ctx context.Context, m *uplink.Message) error {
	end := make(chan error, 1)
	in.Path.Take(context.WithoutCancel(ctx), m, uplink.AckFunc(func(err error) { end <- err }))
	select {
	case err := <-end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func failed(err error) (message.Code, string, []byte) {
	var r *uplink.Refusal
	if errors.As(err, &r) {
		return r.Code, r.Reason, nil
	}
	return message.CodePublishFailed, "", nil
}

// sender finds the device that a token was given to, if it still has the secret.
func (in *Ingress) sender(ctx context.Context, token string) (*registry.Device, *registry.Product, message.Code) {
	if token == "" {
		return nil, nil, message.CodeMissing
	}
	c, code := in.tokens.verify(token, in.now())
	if !code.OK() {
		return nil, nil, code
	}
	dev, err := in.Registry.DeviceByID(ctx, c.device)
	switch {
	case errors.Is(err, registry.ErrDeviceNotFound):
		return nil, nil, message.CodeBadToken
	case err != nil:
		return nil, nil, in.fault("device", err)
	case !c.of(dev):
		return nil, nil, message.CodeBadToken
	case dev.State == registry.Disabled:
		return nil, nil, message.CodeDisabled
	}
	product, err := in.Registry.Product(ctx, dev.Identity.Product)
	if err != nil {
		return nil, nil, in.fault("product", err)
	}
	return dev, product, message.CodeOK
}

func (in *Ingress) fault(what string, err error) message.Code {
	in.Log.Error("request of a device not served", "reading", what, "err", err)
	return message.CodeInternal
}

// seenEvery is how exact the time is at which a device was last seen over HTTP.
const seenEvery = 10 * time.Second

var touchDevice = store.NewStmt(`UPDATE device SET last_seen = ? WHERE id = ? AND last_seen < ?`)

// seen notes the time; it is no part of the message's unit, since nothing depends on it.
func (in *Ingress) seen(dev *registry.Device) {
	now := in.now()
	if now.Sub(dev.LastSeen.Time()) < seenEvery {
		return
	}
	in.Registry.Touch(dev.ID, func(d *registry.Device) { d.LastSeen = registry.MomentOf(now) })
	ms := now.UnixMilli()
	in.Store.Submit(&store.Unit{Device: dev.ID, Ops: []store.Op{{Stmt: touchDevice, Args: []any{ms, dev.ID, ms}, Want: -1}},
		Done: func(err error) {
			if err != nil {
				in.Log.Debug("last seen not stored", "device", dev.Identity, "err", err)
			}
		}})
}
