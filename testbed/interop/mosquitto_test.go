package interop

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// mosquittoArgs are the arguments that mosquitto's two clients share.
func mosquittoArgs(h *harness.Hub, d harness.Credentials, addr string, overTLS bool) []string {
	host, port, _ := net.SplitHostPort(addr)
	args := []string{"-h", host, "-p", port, "-i", d.ClientID(), "-u", d.UserName(), "-P", d.DeviceSecret, "-c", "-q", "2"}
	if overTLS {
		args = append(args, "--cafile", jobFor(h, d, addr, true, 4).CA)
	}
	return args
}

// TestMosquittoPub publishes lines at QoS 2 in a kept session, over both doors.
func TestMosquittoPub(t *testing.T) {
	s := newSite(t)
	for name, door := range map[string]struct {
		addr string
		tls  bool
	}{"tcp": {s.hub.MQTT, false}, "tls": {s.hub.MQTTS, true}} {
		t.Run(name, func(t *testing.T) {
			d := s.device()
			const count = 200
			var lines strings.Builder
			for n := 1; n <= count; n++ {
				fmt.Fprintf(&lines, "{\"n\":%d}\n", n)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "mosquitto_pub", append(mosquittoArgs(s.hub, d, door.addr, door.tls), "-t", d.Topic("upload"), "-l")...)
			cmd.Stdin = strings.NewReader(lines.String())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("mosquitto_pub: %v\n%s", err, out)
			}
			harness.Eventually(t, time.Minute, "the sink has all", func() bool { return len(s.arrived(d)) == count })
			for n, times := range s.arrived(d) {
				if times != 1 {
					t.Errorf("message %d arrived %d times", n, times)
				}
			}
		})
	}
}

// TestMosquittoSub cuts a subscriber with a kept session off again and again: it gets everything that is sent. It takes a second
// to come back, so that there are only 5 cuts, 50 with HAWSER_TEST_LONG.
func TestMosquittoSub(t *testing.T) {
	cuts := 5
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		cuts = 50
	}
	s := newSite(t)
	d := s.device()
	proxy := cut(t, s.hub.MQTT, cuts, 200*time.Millisecond)
	var out output
	cmd := exec.Command("mosquitto_sub", append(mosquittoArgs(s.hub, d, proxy.addr, false), "-t", d.Topic("set"))...)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	harness.Eventually(t, time.Minute, "mosquitto_sub is subscribed", func() bool {
		return s.hub.Call("POST", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/publish",
			map[string]any{"topic": d.Topic("set"), "payload": "first", "qos": 1}, nil) == nil
	})
	proxy.arm()
	notes := 0
	for proxy.cuts() < cuts {
		notes++
		s.send(t, d, fmt.Sprintf("note %d.", notes))
		<-time.After(20 * time.Millisecond) // the pace of the application
		harness.Eventually(t, time.Minute, "mosquitto_sub takes what waits for it", func() bool {
			return notes <= keeps || strings.Contains(out.String(), fmt.Sprintf("note %d.\n", notes-keeps))
		})
	}
	for n := 1; n <= notes; n++ {
		harness.Eventually(t, time.Minute, fmt.Sprintf("note %d arrives", n), func() bool {
			return strings.Contains(out.String(), fmt.Sprintf("note %d.\n", n))
		})
	}
	t.Logf("%d messages over %d cuts", notes, cuts)
}

// output is what a client printed, safe to read while it runs.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
