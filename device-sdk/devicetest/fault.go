package devicetest

import (
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Drop cuts the device's connection, if there is one, and reports whether there was. When it returns the device is offline, and so are those that it
// carries; or they are back.
func (h *Hub) Drop(d ident.Device) bool {
	h.mu.Lock()
	engine := h.engine
	h.mu.Unlock()
	s, ok := engine.Session(d.ClientID())
	if !ok || !engine.Kick(d.ClientID(), server.CauseNetwork) {
		return false
	}
	<-s.Data().(*member).gone
	return true
}

// HoldAcks takes messages without acknowledging or noting them until it is
// called with false; then it goes on with those.
func (h *Hub) HoldAcks(hold bool) {
	h.mu.Lock()
	h.holding = hold
	var held []func()
	if !hold {
		held, h.held = h.held, nil
	}
	h.mu.Unlock()
	for _, f := range held {
		f()
	}
}

// Mute makes the hub acknowledge the device's requests but not answer them.
func (h *Hub) Mute(d ident.Device, mute bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.devices[d]; s != nil {
		s.mute = mute
	}
}

// SetEnabled disables a device, which cuts it off, or enables it again. The
// gateway of a sub-device is told.
func (h *Hub) SetEnabled(d ident.Device, enabled bool) {
	h.mu.Lock()
	s := h.devices[d]
	if s == nil {
		h.mu.Unlock()
		return
	}
	s.disabled = !enabled
	if !enabled {
		s.online = false
	}
	gateway := s.gateway
	h.changedLocked()
	h.mu.Unlock()
	if s.Kind != Subdevice {
		if !enabled {
			h.Drop(d)
		}
		return
	}
	kind := topic.SubdevDisable
	if enabled {
		kind = topic.SubdevEnable
	}
	b, err := codec.Marshal(codec.JSON, message.SubdevRequest{RequestID: "0", Params: []message.Subdev{message.NewSubdev(d)}})
	if err == nil {
		h.post(gateway, topic.System(gateway, kind), b)
	}
}
