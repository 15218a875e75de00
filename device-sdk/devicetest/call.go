package devicetest

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// callKey tells the answers of devices apart.
type callKey struct {
	device ident.Device
	id     message.RequestID
}

// Command calls a command of a device and waits for the answer. A nil input is
// sent as {}.
func (h *Hub) Command(ctx context.Context, d ident.Device, identifier string, input any) (message.CommandReply, error) {
	var reply message.CommandReply
	if input == nil {
		input = struct{}{}
	}
	in, err := codec.Marshal(codec.JSON, input)
	if err != nil {
		return reply, err
	}
	err = h.call(ctx, d, topic.Command, &reply, func(id message.RequestID) any {
		return message.Command{RequestID: id, Identifier: identifier, Input: in}
	})
	return reply, err
}

// SetProperties sets properties of a device and waits for its answer.
func (h *Hub) SetProperties(ctx context.Context, d ident.Device, values map[string]any) (message.Code, error) {
	set := message.PropertySet{Property: make(map[string]json.RawMessage)}
	for k, v := range values {
		b, err := codec.Marshal(codec.JSON, v)
		if err != nil {
			return 0, err
		}
		set.Property[k] = b
	}
	var reply message.PropertySetReply
	err := h.call(ctx, d, topic.PropertySet, &reply, func(id message.RequestID) any {
		set.RequestID = id
		return set
	})
	return reply.RetCode, err
}

// Publish sends a payload to the device on its custom topic of this path.
func (h *Hub) Publish(d ident.Device, path string, payload []byte) error {
	return h.send(d, topic.Name(d, path), payload)
}

// Broadcast sends a payload to all devices of a product that are connected and
// listen, once over each connection, and returns how many those are.
func (h *Hub) Broadcast(product, path string, payload []byte) int {
	t := topic.Topic{Kind: topic.Broadcast, Device: ident.Device{Product: product}, Tail: path}
	m := server.Message{Topic: t.String(), Payload: payload, QoS: 1}
	h.mu.Lock()
	engine := h.engine
	h.mu.Unlock()
	n := 0
	engine.Each(func(s *server.Session) bool {
		if s.Send(m) == nil {
			n++
		}
		return true
	})
	return n
}

// SendRaw sends a payload on a system topic of the device, whatever it holds.
func (h *Hub) SendRaw(d ident.Device, k topic.Kind, payload []byte) error {
	return h.send(d, topic.System(d, k), payload)
}

// Desire changes the desired part of the device's shadow as an application does
// (null deletes a key) and tells the device.
func (h *Hub) Desire(d ident.Device, desired map[string]any) error {
	b, err := codec.Marshal(codec.JSON, desired)
	if err != nil {
		return err
	}
	doc, err := codec.Decode(b, codec.DefaultLimits())
	if err != nil {
		return err
	}
	defer doc.Release()
	h.mu.Lock()
	s := h.devices[d]
	if s == nil {
		h.mu.Unlock()
		return ErrUnknown
	}
	out := shadowdoc.Desire(s.shadow, doc.Root(), time.Now(), shadowdoc.Options{})
	if out.Next != nil {
		s.shadow = out.Next
	}
	next := s.shadow
	h.changedLocked()
	h.mu.Unlock()
	if out.Code != message.CodeOK {
		return out.Code
	}
	msgs, err := next.Controls(0)
	if err != nil {
		return err
	}
	for _, m := range msgs {
		// A device that is offline, or does not listen yet, asks when it comes.
		h.post(d, topic.System(d, topic.ShadowDownstream), m)
	}
	return nil
}

// call sends what build makes of a fresh id and decodes the answer.
func (h *Hub) call(ctx context.Context, d ident.Device, k topic.Kind, reply any, build func(message.RequestID) any) error {
	h.mu.Lock()
	h.lastCall++
	key := callKey{d, message.RequestID(strconv.Itoa(h.lastCall))}
	ch := make(chan []byte, 1)
	h.calls[key] = ch
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.calls, key)
		h.mu.Unlock()
	}()
	b, err := codec.Marshal(codec.JSON, build(key.id))
	if err != nil {
		return err
	}
	if err := h.sendSubscribed(ctx, d, topic.System(d, k), b); err != nil {
		return err
	}
	select {
	case b := <-ch:
		return codec.Unmarshal(b, reply)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sendSubscribed sends as soon as the device, which has to be online, listens: the subscriptions of one behind a gateway come in time.
func (h *Hub) sendSubscribed(ctx context.Context, d ident.Device, name string, payload []byte) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := h.send(d, name, payload)
		if !errors.Is(err, server.ErrNotSubscribed) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// returned hands a device's answer to the call that waits for it.
func (h *Hub) returned(m Message) {
	h.mu.Lock()
	ch := h.calls[callKey{m.From, idOf(m)}]
	h.mu.Unlock()
	if ch == nil {
		return
	}
	select {
	case ch <- m.Payload:
	default: // answered twice
	}
}
