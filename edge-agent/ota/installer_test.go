package ota_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/ota"
	"github.com/hawser-iot/hawser/edge-agent/slot"
)

// late is a boot loader that has done what it is told, and says that it has not.
type late struct {
	slot.Control
	err error
}

func (c late) Arm(ctx context.Context, name string, tries int) error {
	return errors.Join(c.Control.Arm(ctx, name, tries), c.err)
}

// TestArmedAndNotSaidSo: an update that has failed is not what the next start tries.
func TestArmedAndNotSaidSo(t *testing.T) {
	b := newBoard(t)
	b.change = func(c *ota.Config) { c.Boot.Control = late{c.Boot.Control, errors.New("no answer")} }
	u, _ := b.live(b.offer(), 0, func(u devicetest.Update) bool { return u.State() == "failed" })
	if u.Last.Class != "FLASH_IO" {
		t.Errorf("class %s", u.Last.Class)
	}
	s, err := b.control().Get(t.Context())
	must(t, err)
	if s.Next() != "A" || s.Bootable("B") {
		t.Errorf("the next start: %+v", s)
	}
}

// TestFoundWellTooLate: a release that the owner is leaving is not confirmed when it is found well at that moment.
func TestFoundWellTooLate(t *testing.T) {
	ctx, b := t.Context(), newBoard(t)
	start := func() update.Installer {
		b.boot()
		dev, err := device.New(device.Config{Server: b.hub.URL(), Product: b.id.Product, SN: b.id.SN, Secret: b.secret, SignedFirmware: true}, slog.New(slog.DiscardHandler))
		must(t, err)
		o, err := ota.New(b.config(dev.Firmware(), nil), slog.New(slog.DiscardHandler))
		must(t, err)
		return o.Installer()
	}
	must(t, start().Arm(ctx, update.Release{}))
	i := start()
	if boot, err := i.Boot(ctx); err != nil || boot.Slot != "B" || boot.Confirmed {
		t.Fatalf("%+v, %v", boot, err)
	}
	must(t, i.Revert(ctx))
	if err := i.Confirm(ctx); err == nil {
		t.Error("it was confirmed")
	}
	if boot, err := start().Boot(ctx); err != nil || boot.Slot != "A" || !boot.Confirmed {
		t.Errorf("%+v, %v", boot, err)
	}
}
