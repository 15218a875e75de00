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
		return message.CodeNoPermission, "", nil
	}
	if t.Parse {
		return message.CodeNoPermission, "the product has no parse script", nil
	}
	body, code := read(r, in.cfg.MaxBody)
	if !code.OK() {
		return code, "", nil
	}
	m := in.Path.New()
	m.ID = in.Path.IDs.Next()
	m.Device, m.DeviceID, m.Product = dev.Identity, dev.ID, product
	m.Topic, m.Name, m.Payload, m.QoS = t, name, body, 1
	id := m.ID
	if err := in.take(ctx, m); err != nil {
		return failed(err)
	}
	in.seen(dev)
	return message.CodeOK, "", append(id.Append([]byte(`,"MessageID":"`)), `"}`...)
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
	case in.tokens.fingerprint(dev.Secret) != c.fingerprint:
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
	if now.Sub(dev.LastSeen) < seenEvery {
		return
	}
	in.Registry.Touch(dev.ID, func(d *registry.Device) { d.LastSeen = now })
	ms := now.UnixMilli()
	in.Store.Submit(&store.Unit{Device: dev.ID, Ops: []store.Op{{Stmt: touchDevice, Args: []any{ms, dev.ID, ms}, Want: -1}},
		Done: func(err error) {
			if err != nil {
				in.Log.Debug("last seen not stored", "device", dev.Identity, "err", err)
			}
		}})
}
