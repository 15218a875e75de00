package server

import (
	"errors"
	"fmt"
	"time"
)

// Config bounds what connections may use. DefaultConfig has the defaults of the device protocol.
type Config struct {
	// Driver chooses how connections wait for bytes.
	Driver Driver
	// MaxPacket is the largest packet in bytes that is read; a larger one closes the connection.
	MaxPacket int
	// ConnectTimeout is the time from accepting a connection to CONNACK, TLS handshake included.
	ConnectTimeout time.Duration
	// KeepAliveMin and KeepAliveMax bound the keep-alive of CONNECT in seconds; outside it the connection is refused
	// with packet.IdentifierRejected, and a client of 5.0 gets the nearer bound as Server Keep Alive. 0 = no bound. With
	// KeepAliveMin other than 0 a keep-alive of 0 is outside too.
	KeepAliveMin, KeepAliveMax uint16
	// Window is how many publishes of a connection may wait for Publish.Done before reading stops. It is the Receive Maximum that
	// a client of 5.0 is told.
	Window int
	// OutQueue is how many messages may wait for a session beside those in flight. When it is full the oldest
	// waiting one is dropped and counted.
	OutQueue int
	// OutBytes is how many bytes those waiting may have; a message that is larger by itself gets ErrFull if it has to wait.
	OutBytes int
	// InFlight is how many QoS 1 and 2 messages to a session may be unacknowledged at once.
	InFlight int
	// MaxSubscriptions is how many filters a session may have; further ones get packet.SubackFailure.
	MaxSubscriptions int
	// Rate (messages/s) and ByteRate (bytes/s of publishes) slow a connection's reading down; 0 = no bound.
	// A burst of one second's worth passes at once.
	Rate, ByteRate float64
	// AckDelay lets acknowledgements that an owner gives from other goroutines gather before they are written,
	// so that many Done calls of one commit make one write a connection. 0 = written at once.
	AckDelay time.Duration
	// TopicAliasMax is how many topic aliases a client of 5.0 may set, and how many are set for it; 0 = none.
	TopicAliasMax uint16
	// SessionExpiryMax bounds how many seconds a session outlives its connection; 0 = no bound.
	SessionExpiryMax uint32
	// DrainTimeout is how long Close waits for acknowledgements in hand.
	DrainTimeout time.Duration
	// StoreTimeout is how long a connection with an unavailable store is held before it is closed.
	StoreTimeout time.Duration
	// WriteTimeout is how long a client may read nothing while there is something to write to it.
	WriteTimeout time.Duration
}

// DefaultConfig returns the defaults of the device protocol. It limits no rate and no keep-alive.
func DefaultConfig() Config {
	return Config{
		MaxPacket:        256 << 10,
		ConnectTimeout:   10 * time.Second,
		Window:           64,
		OutQueue:         256,
		OutBytes:         1 << 20,
		InFlight:         32,
		MaxSubscriptions: 100,
		AckDelay:         200 * time.Microsecond,
		TopicAliasMax:    16,
		DrainTimeout:     10 * time.Second,
		StoreTimeout:     10 * time.Second,
		WriteTimeout:     30 * time.Second,
	}
}

// Validate names the first field that cannot work.
func (c Config) Validate() error {
	for _, f := range []struct {
		name string
		v    int64
	}{
		{"MaxPacket", int64(c.MaxPacket)}, {"ConnectTimeout", int64(c.ConnectTimeout)}, {"Window", int64(c.Window)},
		{"OutQueue", int64(c.OutQueue)}, {"OutBytes", int64(c.OutBytes)}, {"InFlight", int64(c.InFlight)}, {"MaxSubscriptions", int64(c.MaxSubscriptions)},
		{"StoreTimeout", int64(c.StoreTimeout)}, {"WriteTimeout", int64(c.WriteTimeout)},
	} {
		if f.v <= 0 {
			return fmt.Errorf("mqtt server: %s must be greater than 0", f.name)
		}
	}
	switch {
	case c.KeepAliveMax != 0 && c.KeepAliveMax < c.KeepAliveMin:
		return errors.New("mqtt server: KeepAliveMax is less than KeepAliveMin")
	case c.InFlight > maxInFlight:
		return fmt.Errorf("mqtt server: InFlight must be at most %d", maxInFlight)
	case c.Rate < 0 || c.ByteRate < 0 || c.AckDelay < 0 || c.DrainTimeout < 0:
		return errors.New("mqtt server: Rate, ByteRate, AckDelay and DrainTimeout must not be negative")
	}
	return nil
}

// maxInFlight keeps packet ids far from wrapping into ids that are still in use.
const maxInFlight = 16_384

// withDefaults fills fields that were left zero, so that a Config{} literal with a few fields works.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	fill := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	fill(&c.MaxPacket, d.MaxPacket)
	fill(&c.Window, d.Window)
	fill(&c.OutQueue, d.OutQueue)
	fill(&c.OutBytes, d.OutBytes)
	fill(&c.InFlight, d.InFlight)
	c.InFlight = min(c.InFlight, maxInFlight)
	fill(&c.MaxSubscriptions, d.MaxSubscriptions)
	for _, f := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&c.ConnectTimeout, d.ConnectTimeout}, {&c.DrainTimeout, d.DrainTimeout},
		{&c.StoreTimeout, d.StoreTimeout}, {&c.WriteTimeout, d.WriteTimeout},
	} {
		if *f.v <= 0 {
			*f.v = f.def
		}
	}
	return c
}
