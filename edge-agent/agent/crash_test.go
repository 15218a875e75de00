package agent_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// spawn starts the agent as a process of its own.
func (s *site) spawn(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "AGENT_TEST_CONFIG="+s.file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// stream publishes numbered messages until stop is closed and returns the
// numbers that were acknowledged. What is in doubt when the agent dies is sent
// again by the SDK, so that numbers may arrive twice.
func stream(ctx context.Context, stop <-chan struct{}, d *device.Device, sent *atomic.Int64) (acked []int) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return acked
		default:
		}
		if err := d.Publish(ctx, "upload", fmt.Appendf(nil, "%d", i)); err != nil {
			return acked
		}
		acked = append(acked, i)
		sent.Add(1)
	}
}

// TestKilledAgentLosesNothingAcknowledged kills the agent with SIGKILL again and
// again while sub-devices publish, with the hub there and away.
func TestKilledAgentLosesNothingAcknowledged(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 3, "")
	cmd := s.spawn(t)
	stop := make(chan struct{})
	acked := make(map[ident.Device][]int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	var sent atomic.Int64
	for _, id := range s.subs {
		d := quickDevice(t, s, id)
		wg.Go(func() {
			got := stream(ctx, stop, d, &sent)
			mu.Lock()
			acked[id] = got
			mu.Unlock()
		})
	}
	for round := range 5 {
		target := sent.Load() + 150
		for sent.Load() < target && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		switch round {
		case 1:
			s.hub.Pause()
		case 3:
			must(t, s.hub.Resume())
		}
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()
		cmd = s.spawn(t)
	}
	close(stop)
	wg.Wait()
	must(t, ctx.Err())
	total := 0
	for id, want := range acked {
		total += len(want)
		err := s.waitUploads(ctx, id, len(want))
		got := s.uploads(id)
		if err != nil || len(got) < len(want) {
			t.Fatalf("%s: %d acknowledged, %d arrived: %v", id, len(want), len(got), err)
		}
		for i, p := range got {
			if p != fmt.Sprint(i) {
				t.Fatalf("%s: first arrival %d is number %s", id, i, p)
			}
		}
	}
	t.Logf("%d acknowledged messages arrived through 5 kills", total)
	must(t, cmd.Process.Signal(os.Interrupt)) // not handled by the child: any end will do
}

// waitUploads waits until n different uploads of the sub-device are at the hub.
func (s *site) waitUploads(ctx context.Context, id ident.Device, n int) error {
	for len(s.uploads(id)) < n {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// quickDevice is a sub-device that reconnects without long pauses.
func quickDevice(t *testing.T, s *site, id ident.Device) *device.Device {
	t.Helper()
	d, err := device.New(device.Config{
		Server: "tcp://" + s.lan, Product: id.Product, SN: id.SN, Secret: s.hub.Secret(id), KeepTrying: true,
		ReconnectMin: 10 * time.Millisecond, ReconnectMax: 50 * time.Millisecond,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return d
}
