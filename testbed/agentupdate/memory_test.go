package agentupdate

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
)

// The bars: what a gateway gives the agent, and how much of it is resident at most.
const (
	memoryLimit = 16 << 20
	peakRSS     = 14 << 20
)

// group makes a memory group with the limit, of cgroup v2 or v1, and returns the file that takes processes.
func group(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("hawser-test-%d", os.Getpid())
	for _, v := range []struct{ root, limit, swap string }{
		{"/sys/fs/cgroup", "memory.max", "memory.swap.max"},
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", ""},
	} {
		dir := filepath.Join(v.root, name)
		if _, err := os.Stat(filepath.Join(v.root, "cgroup.procs")); err != nil || os.Mkdir(dir, 0o755) != nil {
			continue
		}
		if os.WriteFile(filepath.Join(dir, v.limit), fmt.Append(nil, memoryLimit), 0) != nil {
			_ = os.Remove(dir)
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		if v.swap != "" {
			_ = os.WriteFile(filepath.Join(dir, v.swap), []byte("0"), 0) // there may be none
		}
		t.Logf("the limit is in %s", filepath.Join(dir, v.limit))
		return filepath.Join(dir, "cgroup.procs")
	}
	t.Log("this system lets nobody limit memory: only the peak is measured")
	return ""
}

// TestUpdateInLittleMemory updates a 32-bit agent, with a delta and without, in 16 MiB: it is not killed, and at most 14 MiB are resident.
func TestUpdateInLittleMemory(t *testing.T) {
	p := target(t, "linux-386")
	old, new := build(t, p, "1.0"), build(t, p, "2.0")
	a, err := devicetest.NewAuthority()
	must(t, err)
	launcher := filepath.Join(t.TempDir(), "launcher")
	must(t, os.WriteFile(launcher, old, 0o700))
	for name, base := range map[string][]byte{"delta": old, "full": nil} {
		t.Run(name, func(t *testing.T) {
			r, err := a.Build(devicetest.Firmware{Images: map[string][]byte{"default": new}, Old: map[string][]byte{"default": base}})
			must(t, err)
			s := newSite(t, p, a, old, new, r, "[true]")
			procs := group(t)
			var peak atomic.Int64
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			s.started = func(pid int) { wg.Go(func() { watch(ctx, pid, &peak) }) }
			u := s.live(launcher, "", 2*time.Minute, attested, func(c *exec.Cmd) {
				c.Args = append([]string{"sh", "-c", `[ -z "$0" ] || echo $$ > "$0"; exec "$@"`, procs, launcher}, c.Args[1:]...)
				c.Path = "/bin/sh"
			})
			stop()
			wg.Wait()
			s.current("B", new)
			t.Logf("%d bytes downloaded of %d; peak of %.1f MiB resident", u.Sent, len(new), float64(peak.Load())/(1<<20))
			if peak.Load() > peakRSS || peak.Load() == 0 {
				t.Errorf("%d bytes were resident, want at most %d", peak.Load(), peakRSS)
			}
			if strings.Contains(strings.Join(s.log, "\n"), "out of memory") {
				t.Error("it ran out of memory")
			}
		})
	}
}

// watch notes the highest VmHWM of the agent in a process, until it or ctx ends: the program may be replaced by another program, which begins anew.
func watch(ctx context.Context, pid int, peak *atomic.Int64) {
	for ; ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return
		}
		if _, rest, ok := strings.Cut(string(b), "VmHWM:"); ok && strings.HasPrefix(string(b), "Name:\thawser-agent") {
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err == nil && kib<<10 > peak.Load() {
				peak.Store(kib << 10)
			}
		}
	}
}
