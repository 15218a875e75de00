package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/localapi"
	"github.com/hawser-iot/hawser/edge-agent/ota"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// The commands that a running agent answers at its socket.
const (
	commandStatus   = "ota status"
	commandHistory  = "ota history"
	commandConsent  = "ota consent"
	commandRollback = "ota rollback"
)

// agreement is the argument of commandConsent. Device is a sub-device; the zero one is the gateway itself.
type agreement struct {
	Agreed bool         `json:"agreed"`
	Device ident.Device `json:"device,omitzero"`
}

// of is the argument of commandHistory.
type of struct {
	Device ident.Device `json:"device,omitzero"`
}

// ErrNoFirmware is returned by the commands for firmware when the configuration has no such section.
var ErrNoFirmware = errors.New("agent: the configuration has no section firmware")

// commands are what the agent answers at its socket.
func (a *Agent) commands() map[string]localapi.Handler {
	handlers := map[string]localapi.Handler{
		commandStatus:   func(ctx context.Context, _ json.RawMessage) (any, error) { return a.firmware(ctx) },
		commandHistory:  a.firmwareHistory,
		commandConsent:  a.agree,
		commandRollback: func(ctx context.Context, _ json.RawMessage) (any, error) { return nil, a.rollback(ctx) },
	}
	handlers[commandPublish], handlers[commandAgentStatus], handlers[commandLogs] = a.publish, a.answerStatus, a.logs
	maps.Copy(handlers, a.lan.Commands())
	maps.Copy(handlers, a.shadowCommands())
	handlers[commandRestart] = func(context.Context, json.RawMessage) (any, error) {
		a.startAnew()
		return nil, nil
	}
	return handlers
}

// startAnew has Run end with ErrRestart.
func (a *Agent) startAnew() {
	select {
	case a.restart <- struct{}{}:
	default: // it is on its way
	}
}

// ErrNotSubdevice is returned for a device whose firmware the gateway does not take.
var ErrNotSubdevice = errors.New("agent: the gateway takes no firmware for that device")

// ownFirmware is why the gateway takes no firmware of its own; nil if it does.
func (a *Agent) ownFirmware() error {
	switch {
	case a.ota != nil:
		return nil
	case a.noOTA != nil:
		return a.noOTA
	}
	return ErrNoFirmware
}

// firmware is the status of the gateway's own firmware, and of that of sub-devices.
func (a *Agent) firmware(ctx context.Context) (s ota.Status, err error) {
	sub := a.lan.Firmware()
	switch {
	case a.ota != nil:
		s, err = a.ota.Status(ctx)
	case sub == nil || a.noOTA != nil:
		return s, a.ownFirmware()
	}
	if sub != nil {
		s.Subdevices = sub.Status()
	}
	return s, err
}

func (a *Agent) firmwareHistory(_ context.Context, args json.RawMessage) (any, error) {
	var q of
	if len(args) > 0 {
		if err := json.Unmarshal(args, &q); err != nil {
			return nil, fmt.Errorf("want {\"device\":{…}} or nothing: %w", err)
		}
	}
	if q.Device != (ident.Device{}) {
		sub := a.lan.Firmware()
		if sub == nil {
			return nil, ErrNotSubdevice
		}
		return sub.History(q.Device)
	}
	if err := a.ownFirmware(); err != nil {
		return nil, err
	}
	return a.ota.History()
}

func (a *Agent) agree(_ context.Context, args json.RawMessage) (any, error) {
	var g agreement
	if err := json.Unmarshal(args, &g); err != nil {
		return nil, fmt.Errorf("want {\"agreed\":true} or false: %w", err)
	}
	if g.Device != (ident.Device{}) {
		sub := a.lan.Firmware()
		if sub == nil {
			return nil, ErrNotSubdevice
		}
		return nil, sub.Consent(g.Device, g.Agreed)
	}
	if err := a.ownFirmware(); err != nil {
		return nil, err
	}
	return nil, a.ota.Agree(g.Agreed)
}

func (a *Agent) rollback(ctx context.Context) error {
	if err := a.ownFirmware(); err != nil {
		return err
	}
	return a.ota.Rollback(ctx)
}

// OTAStatus asks the running agent how far an update is, or reads the disk when none runs.
func OTAStatus(ctx context.Context, cfg Config) (s ota.Status, err error) {
	err = localapi.Call(ctx, cfg.SocketPath(), commandStatus, nil, &s)
	if errors.Is(err, localapi.ErrNotRunning) {
		return offlineStatus(cfg)
	}
	return s, err
}

// offlineStatus reads what a running agent has left.
func offlineStatus(cfg Config) (s ota.Status, err error) {
	devices := cfg.takesFor()
	if cfg.Firmware != nil || len(devices) == 0 {
		s, err = offline(cfg, ident.Device{}, ota.ReadStatus)
	}
	for _, d := range devices {
		sub, err := offline(cfg, d, func(store update.Store) (ota.Subdevice, error) { return ota.ReadSubdevice(d.Product, d.SN, store) })
		if err == nil { // else the agent was never there with it
			s.Subdevices = append(s.Subdevices, sub)
		}
	}
	return s, err
}

// Device names a device, for commands.
type Device = ident.Device

// OTAHistory are the last steps of updates, of the gateway for the zero device, else of a sub-device.
func OTAHistory(ctx context.Context, cfg Config, d ident.Device) (list []ota.Event, err error) {
	err = localapi.Call(ctx, cfg.SocketPath(), commandHistory, of{d}, &list)
	if errors.Is(err, localapi.ErrNotRunning) {
		return offline(cfg, d, ota.History)
	}
	return list, err
}

// OTAConsent is the owner's word about the update that waits for it, of the gateway for the zero device, else of a sub-device.
func OTAConsent(ctx context.Context, cfg Config, d ident.Device, agreed bool) error {
	err := localapi.Call(ctx, cfg.SocketPath(), commandConsent, agreement{agreed, d}, nil)
	if errors.Is(err, localapi.ErrNotRunning) {
		_, err = offline(cfg, d, func(s update.Store) (any, error) { return nil, ota.Consent(s, agreed) })
	}
	return err
}

// OTARollback has the running agent go back to the slot before.
func OTARollback(ctx context.Context, cfg Config) error {
	return localapi.Call(ctx, cfg.SocketPath(), commandRollback, nil, nil)
}

// offline reads what a running agent has left of the gateway's own updates, or of a sub-device's.
func offline[T any](cfg Config, d ident.Device, read func(update.Store) (T, error)) (none T, err error) {
	var store update.Store
	switch {
	case d != (ident.Device{}):
		store, err = cfg.subrecords(d)
	case cfg.Firmware == nil:
		return none, ErrNoFirmware
	default:
		store, err = update.OpenFiles(ota.Folder(cfg.Data))
	}
	if err != nil {
		return none, err
	}
	return read(store)
}
