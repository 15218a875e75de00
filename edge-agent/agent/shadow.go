package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/hawser-iot/hawser/edge-agent/localapi"
	"github.com/hawser-iot/hawser/edge-agent/shadowsync"
	"github.com/hawser-iot/hawser/edge-agent/state"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Shadows says whose shadows the agent keeps.
type Shadows struct {
	Gateway    bool `yaml:"gateway"`    // its own
	Subdevices bool `yaml:"subdevices"` // of all that are behind it
	// Conflicts say by key which side wins when both have changed it: device, cloud or newest; "*" is for all other keys, cloud by default.
	Conflicts map[string]shadowsync.Policy `yaml:"conflicts"`
}

func (s *Shadows) validate() error {
	for k, p := range s.Conflicts {
		if err := p.Check(); err != nil {
			return fmt.Errorf("shadows.conflicts.%s: %w", k, err)
		}
	}
	return nil
}

// shadows makes the keeper of shadows before what is above.
func (c *Config) shadows(above shadowsync.Up, kept *state.Store, log *slog.Logger) (*shadowsync.Syncer, error) {
	return shadowsync.New(shadowsync.Config{
		Own: c.own(), Gateway: c.Shadows.Gateway, Subdevices: c.Shadows.Subdevices, Conflicts: c.Shadows.Conflicts, Store: kept.Bucket("shadow"),
	}, above, log)
}

const (
	commandShadow       = "shadow"
	commandShadowUpdate = "shadow update"
)

// ShadowChange is what UpdateShadow changes of a shadow: keys of the two objects, where null deletes one.
type ShadowChange struct {
	Device   ident.Device    `json:"device"`
	Desired  json.RawMessage `json:"desired,omitempty"`
	Reported json.RawMessage `json:"reported,omitempty"`
}

// shadowCommands are what the agent answers about shadows.
func (a *Agent) shadowCommands() map[string]localapi.Handler {
	read := func(args json.RawMessage) (ch ShadowChange, err error) {
		if err = json.Unmarshal(args, &ch); err == nil && ch.Device == (ident.Device{}) {
			ch.Device = a.cfg.own()
		}
		return ch, err
	}
	return map[string]localapi.Handler{
		commandShadow: func(_ context.Context, args json.RawMessage) (any, error) {
			ch, err := read(args)
			if err != nil {
				return nil, err
			}
			return a.shadow(ch.Device)
		},
		commandShadowUpdate: func(_ context.Context, args json.RawMessage) (any, error) {
			ch, err := read(args)
			if err == nil {
				_, err = a.shadow(ch.Device)
			}
			if err == nil {
				_, err = a.lan.Shadows().Update(ch.Device, ch.Desired, ch.Reported)
			}
			if err != nil {
				return nil, err
			}
			return a.shadow(ch.Device)
		},
	}
}

// shadow is the document of a device whose shadow is kept.
func (a *Agent) shadow(d ident.Device) (json.RawMessage, error) {
	if d != a.cfg.own() && !a.lan.Carries(d) {
		return nil, shadowsync.ErrNone
	}
	b, ok := a.lan.Shadows().Document(d)
	if !ok {
		return nil, shadowsync.ErrNone
	}
	return b, nil
}

// Shadow asks the running agent for a shadow; the zero device is the gateway.
func Shadow(ctx context.Context, cfg Config, d ident.Device) (doc json.RawMessage, err error) {
	err = localapi.Call(ctx, cfg.SocketPath(), commandShadow, ShadowChange{Device: d}, &doc)
	return doc, err
}

// UpdateShadow changes a shadow at the running agent and returns it. When it returns nil the change is on the disk.
func UpdateShadow(ctx context.Context, cfg Config, ch ShadowChange) (doc json.RawMessage, err error) {
	err = localapi.Call(ctx, cfg.SocketPath(), commandShadowUpdate, ch, &doc)
	return doc, err
}
