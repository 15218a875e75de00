package harness

import (
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// NewStore returns the store that a test's client of paho.mqtt.golang needs when it reconnects by itself. The library's own memory
// store hands out the packet that a connection may just be writing, and a reconnect sets its DUP flag: a data race. This one keeps
// and gives copies.
func NewStore() mqtt.Store { return copyingStore{mqtt.NewMemoryStore()} }

type copyingStore struct{ *mqtt.MemoryStore }

// Put keeps a copy of p, which is not on its way yet.
func (s copyingStore) Put(key string, p packets.ControlPacket) { s.MemoryStore.Put(key, copied(p)) }

// Get gives a copy of what is kept under key, or nil.
func (s copyingStore) Get(key string) packets.ControlPacket { return copied(s.MemoryStore.Get(key)) }

func copied(p packets.ControlPacket) packets.ControlPacket {
	switch p := p.(type) {
	case *packets.PublishPacket:
		c := *p
		return &c
	case *packets.PubrelPacket:
		c := *p
		return &c
	case *packets.SubscribePacket:
		c := *p
		return &c
	case *packets.UnsubscribePacket:
		c := *p
		return &c
	}
	return p
}
