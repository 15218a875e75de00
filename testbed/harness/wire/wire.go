// Package wire puts a cable between a program and a server that tests can cut, reset and stall: a toxiproxy inside the
// process. It promises that whoever dials the wire's address reaches the server for as long as the wire is whole, and it
// keeps that address through all faults.
package wire

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// Wire is the way to one server. Its methods must not be called from several goroutines at once.
type Wire struct {
	Addr string // what to dial, host:port

	env      harness.Env
	proxy    *toxiproxy.Proxy
	upstream string
}

// To returns a whole wire to the server at upstream, host:port, which need not be there yet. It ends with e.
func To(e harness.Env, upstream string) *Wire {
	e.Helper()
	srv := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	// Not a port of the kernel's choice: while the wire is cut a client that dials might get it for its own end.
	w := &Wire{env: e, upstream: upstream, proxy: toxiproxy.NewProxy(srv, "wire", harness.FreeAddr(e), upstream)}
	w.Addr = w.proxy.Listen
	w.open(w.proxy.Start)
	e.Cleanup(w.proxy.Stop)
	return w
}

// Cut ends all connections and refuses new ones until Mend.
func (w *Wire) Cut() { w.enable(false) }

// Reset ends each connection with a TCP reset once the server's answer is on its way, the answer thrown away, until
// Mend: what the server has done, its client does not know.
func (w *Wire) Reset() { w.add("reset_peer", "downstream", map[string]any{"timeout": 0}) }

// Stall lets connections come up and swallows what the client sends until Mend: nothing answers, nothing fails.
func (w *Wire) Stall() { w.add("timeout", "upstream", map[string]any{"timeout": 0}) }

// Deafen delivers what the client sends and swallows the answers until Mend.
func (w *Wire) Deafen() { w.add("timeout", "downstream", map[string]any{"timeout": 0}) }

// Bound ends each connection after so many bytes of answers until Mend, which is soon and in the middle of one.
func (w *Wire) Bound(bytes int64) {
	w.add("limit_data", "downstream", map[string]any{"bytes": bytes})
}

// Mend makes the wire whole again. Connections that a fault has spoiled are ended.
func (w *Wire) Mend() {
	w.env.Helper()
	w.enable(false)
	w.proxy.Toxics.ResetToxics(context.Background())
	w.enable(true)
}

func (w *Wire) enable(on bool) {
	w.env.Helper()
	w.open(func() error {
		return w.proxy.Update(&toxiproxy.Proxy{Listen: w.Addr, Upstream: w.upstream, Enabled: on})
	})
}

// open does what opens the address, also when that is taken for a moment: a program that is just being started has all sockets of this process
// between its fork and its exec, those that were closed meanwhile, too.
func (w *Wire) open(do func() error) {
	w.env.Helper()
	err := do()
	for deadline := time.Now().Add(time.Minute); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(deadline); err = do() {
		<-time.After(10 * time.Millisecond)
	}
	if err != nil {
		w.env.Fatalf("wire to %s: %v", w.upstream, err)
	}
}

func (w *Wire) add(kind, stream string, attributes map[string]any) {
	w.env.Helper()
	b, err := json.Marshal(map[string]any{"type": kind, "stream": stream, "attributes": attributes})
	if err == nil {
		_, err = w.proxy.Toxics.AddToxicJson(strings.NewReader(string(b)))
	}
	if err != nil {
		w.env.Fatalf("wire to %s: %s: %v", w.upstream, kind, err)
	}
}
