package ota_test

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/ota"
	"github.com/hawser-iot/hawser/edge-agent/slot"
)

// full is a disk without room for n writes, from the one numbered from on.
type full struct {
	mu       sync.Mutex // guards the fields below
	from, to int
	writes   int
	refused  atomic.Int64
}

func (f *full) room() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.writes++; f.writes >= f.from && f.writes < f.to {
		f.refused.Add(1)
		return syscall.ENOSPC
	}
	return nil
}

// fullStore is where records are kept on it.
type fullStore struct {
	update.Store
	disk *full
}

func (s fullStore) Save(name string, record []byte) error {
	if err := s.disk.room(); err != nil {
		return err
	}
	return s.Store.Save(name, record)
}

// fullControl is a boot loader's environment on it.
type fullControl struct {
	slot.Control
	disk *full
}

func (c fullControl) Confirm(ctx context.Context, name string) error {
	if err := c.disk.room(); err != nil {
		return err
	}
	return c.Control.Confirm(ctx, name)
}

func (c fullControl) Revert(ctx context.Context, name string) error {
	if err := c.disk.room(); err != nil {
		return err
	}
	return c.Control.Revert(ctx, name)
}

func (c fullControl) Arm(ctx context.Context, name string, tries int) error {
	if err := c.disk.room(); err != nil {
		return err
	}
	return c.Control.Arm(ctx, name, tries)
}

// TestFullDiskKeepsOnlyTheUpdateWaiting: wherever the disk becomes full, the agent goes on, and the update when there is room again.
func TestFullDiskKeepsOnlyTheUpdateWaiting(t *testing.T) {
	hub := devicetest.New(t)
	a, err := shared()
	must(t, err)
	for from := 1; ; from += 3 { // as many writes as are refused
		b := newBoardAt(t, hub, a)
		disk := &full{from: from, to: from + 3}
		b.change = func(c *ota.Config) {
			c.Store = fullStore{c.Store, disk}
			c.Boot.Control = fullControl{c.Boot.Control, disk}
		}
		u, _ := b.live(b.offer(), 0, func(u devicetest.Update) bool { return attested(u) || u.State() == "failed" })
		if t.Failed() {
			t.Fatalf("full from write %d on: states %q", from, u.States)
		}
		if disk.refused.Load() == 0 {
			if from < 20 {
				t.Errorf("only %d writes", from-1)
			}
			return
		}
	}
}
