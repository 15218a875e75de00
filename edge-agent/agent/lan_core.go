//go:build core

package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/hawser-iot/hawser/edge-agent/localapi"
	"github.com/hawser-iot/hawser/edge-agent/shadowsync"
	"github.com/hawser-iot/hawser/edge-agent/state"
	"github.com/hawser-iot/hawser/edge-agent/uplink"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Variant says which halves this program has: core or gateway.
const Variant = "core"

// errCore is what a core agent says to a configuration that needs the other half.
var errCore = errors.New("subdevices: this is the core agent, which serves none; install the gateway agent")

// coreLAN is the local half of a core agent: its own shadow.
type coreLAN struct{ shadows *shadowsync.Syncer }

var _ lan = coreLAN{}

func openLAN(cfg *Config, up *uplink.Uplink, kept *state.Store, log *slog.Logger) (lan, error) {
	if len(cfg.Subdevices) > 0 || cfg.Shadows.Subdevices {
		return nil, errCore
	}
	s, err := cfg.shadows(alone{up}, kept, log)
	if err != nil {
		return nil, err
	}
	s.Serve(nobody{})
	up.OnUp(s.Connected)
	if cfg.Shadows.Gateway {
		s.Attached(cfg.own())
	}
	return coreLAN{s}, nil
}

// alone is the way up of an agent without applications.
type alone struct{ *uplink.Uplink }

func (alone) Local(_ string, _ []byte, _ byte, done func(error)) { done(errCore) }

// nobody is who is behind a core agent.
type nobody struct{}

func (nobody) Deliver(ident.Device, string, []byte, byte) error { return errCore }
func (nobody) Publish(string, []byte, byte)                     {}
func (nobody) Notice(topic.Kind, []message.Subdev)              {}
func (nobody) Carries(ident.Device) bool                        { return false }

func (c coreLAN) Deliver(d ident.Device, name string, payload []byte, qos byte) error {
	return c.shadows.Deliver(d, name, payload, qos)
}
func (coreLAN) Notice(topic.Kind, []message.Subdev)   {}
func (coreLAN) Carries(ident.Device) bool             { return false }
func (c coreLAN) Run(ctx context.Context) error       { return c.shadows.Run(ctx) }
func (coreLAN) Close() error                          { return nil }
func (coreLAN) Addr() net.Addr                        { return nil }
func (c coreLAN) Shadows() *shadowsync.Syncer         { return c.shadows }
func (coreLAN) Commands() map[string]localapi.Handler { return nil }
func (coreLAN) Connections() int                      { return 0 }
func (coreLAN) Firmware() subfirmware                 { return nil }
func (coreLAN) Routes() []agentmsg.Route              { return nil }
