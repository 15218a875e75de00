package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/apiclient"
)

// demoConfig is what `sim demo` can be told.
type demoConfig struct {
	dir                 string
	hubBin, agentBin    string
	devices, subdevices int
	duration            time.Duration
	listen              string
	freePorts, plain    bool
}

func demoFlags(args []string, errOut io.Writer) (demoConfig, error) {
	var c demoConfig
	f := flag.NewFlagSet("sim demo", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.StringVar(&c.dir, "dir", ".hawser/demo", "the demo's `folder`: data, owner key, logs; kept for the next time")
	f.StringVar(&c.hubBin, "hub-bin", "", "the hub's binary (default: beside this program, or in bin)")
	f.StringVar(&c.agentBin, "agent-bin", "", "the agent's binary (default: beside this program, or in bin)")
	f.IntVar(&c.devices, "devices", 5, "simulated devices that connect themselves")
	f.IntVar(&c.subdevices, "subdevices", 2, "simulated devices behind the gateway; 0 starts no agent")
	f.DurationVar(&c.duration, "duration", 0, "end after this time; 0 means at Ctrl-C")
	f.StringVar(&c.listen, "listen", "", "the `address` to bind, such as 127.0.0.1; all when empty")
	f.BoolVar(&c.freePorts, "free-ports", false, "take free ports instead of 1883, 8883, 8080 and 8443")
	f.BoolVar(&c.plain, "plain", false, "plain lines instead of a table, also on a terminal")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	switch {
	case f.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case c.devices < 0 || c.subdevices < 0 || c.devices+c.subdevices > 10_000:
		return c, errors.New("--devices and --subdevices must be 0 to 10000 together")
	}
	c.hubBin, c.agentBin = beside(c.hubBin, "hawser-hub"), beside(c.agentBin, "hawser-agent")
	return c, nil
}

// patience is how long a program may take to begin, and to end.
const patience = time.Minute

// addresses are where a hub listens.
type addresses struct{ mqtt, mqtts, http, https string }

// demo runs the whole of it. The order of the end is that of the start reversed:
// devices first, so that they leave properly, then the agent, the hub last.
func demo(ctx context.Context, cfg demoConfig, out *os.File) (err error) {
	if cfg.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.duration)
		defer cancel()
	}
	if err := os.MkdirAll(cfg.dir, 0o700); err != nil {
		return err
	}
	// A time-out of the demo itself is its regular end.
	defer func() {
		if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
			err = nil
		}
	}()
	logFile, err := os.Create(filepath.Join(cfg.dir, "devices.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	log := slog.New(slog.NewTextHandler(logFile, nil))

	hub, addr, err := startHub(ctx, cfg, out)
	if err != nil {
		return errors.Join(err, hub.stop(patience))
	}
	defer func() { err = errors.Join(err, hub.stop(patience)) }()
	key, err := ownerKey(cfg)
	if err != nil {
		return err
	}
	client, err := apiclient.Connect("http://"+local(addr.http), key, nil)
	if err != nil {
		return err
	}
	api := &apiclient.ClientWithResponses{ClientInterface: client}
	w, err := settle(ctx, api, cfg.devices, cfg.subdevices)
	if err != nil {
		return err
	}
	watch, err := watchEvents(ctx, client, w)
	if err != nil {
		return err
	}
	defer watch.stop()

	agent, lan, err := startAgent(ctx, cfg, w, addr, out)
	if err != nil {
		return errors.Join(err, agent.stop(patience))
	}
	defer func() { err = errors.Join(err, agent.stop(patience)) }()

	fleetCtx, stopFleet := context.WithCancel(ctx)
	waitSensors, err := startThings(fleetCtx, "tcp://"+local(addr.mqtt), w.sensors, log)
	if err != nil {
		stopFleet()
		return err
	}
	waitMeters, err := startThings(fleetCtx, "tcp://"+lan, w.meters, log)
	if err != nil {
		stopFleet()
		waitSensors()
		return err
	}
	defer func() {
		fmt.Fprintln(out, "\nStopping: devices, agent, hub …")
		stopFleet()
		waitSensors()
		waitMeters()
	}()
	banner(out, cfg, addr, lan, key, w)
	return show(ctx, out, cfg, watch, hub, agent)
}

// startHub starts the hub on its usual ports, or on free ones when one is taken.
func startHub(ctx context.Context, cfg demoConfig, out io.Writer) (*process, addresses, error) {
	at := func(port int) string { return net.JoinHostPort(cfg.listen, strconv.Itoa(port)) }
	want := []int{1883, 8883, 8080, 8443}
	free := cfg.freePorts
	for _, port := range want {
		ln, err := net.Listen("tcp", at(port))
		if err != nil {
			if !free {
				fmt.Fprintf(out, "Note: port %d is taken (%v); this hub takes free ports instead.\n", port, err)
			}
			free = true
			break
		}
		ln.Close()
	}
	if free {
		want = []int{0, 0, 0, 0}
	}
	p, err := startProcess("the hub", filepath.Join(cfg.dir, "hub.log"), cfg.hubBin, "serve",
		"--data", filepath.Join(cfg.dir, "data"), "--bootstrap-key-file", filepath.Join(cfg.dir, "owner.key"),
		"--mqtt-addr", at(want[0]), "--mqtts-addr", at(want[1]), "--http-addr", at(want[2]), "--https-addr", at(want[3]))
	if err != nil {
		return p, addresses{}, err
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	line, err := p.waitLine(wait, "msg=ready")
	if err != nil {
		return p, addresses{}, err
	}
	return p, addresses{value(line, "mqtt"), value(line, "mqtts"), value(line, "http"), value(line, "https")}, nil
}

// ownerKey reads what the hub wrote at its first start.
func ownerKey(cfg demoConfig) (string, error) {
	path := filepath.Join(cfg.dir, "owner.key")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is missing, and the hub tells its owner's key only once: remove %s to begin anew", path, cfg.dir)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(b)), nil
}

// startAgent starts the gateway's agent; without sub-devices it returns nil.
func startAgent(ctx context.Context, cfg demoConfig, w *world, addr addresses, out io.Writer) (*process, string, error) {
	if len(w.meters) == 0 {
		return nil, "", nil
	}
	lan := "127.0.0.1:1884"
	if ln, err := net.Listen("tcp", lan); err != nil || cfg.freePorts {
		if err != nil {
			fmt.Fprintf(out, "Note: port 1884 is taken; the gateway takes a free one for its sub-devices.\n")
		} else {
			ln.Close()
		}
		lan = "127.0.0.1:0"
	} else {
		ln.Close()
	}
	path := filepath.Join(cfg.dir, "agent.yaml")
	if err := writeAgentConfig(path, cfg, w, addr, lan); err != nil {
		return nil, "", err
	}
	p, err := startProcess("the agent", filepath.Join(cfg.dir, "agent.log"), cfg.agentBin, "run", "--config", path)
	if err != nil {
		return p, "", err
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	line, err := p.waitLine(wait, "msg=ready")
	return p, value(line, "listen"), err
}

func writeAgentConfig(path string, cfg demoConfig, w *world, addr addresses, lan string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "hub: tls://%s\ntls: {ca: %s}\nremote_config: {keys: [%q]}\nproduct: %s\ndevice: %s\nsecret: %s\ndata: %s\nlisten: %s\nsubdevices:\n",
		local(addr.mqtts), strconv.Quote(filepath.Join(cfg.dir, "data", "tls", "ca.pem")), w.key, w.gateway.id.Product, w.gateway.id.SN, w.gateway.secret.Reveal(),
		strconv.Quote(filepath.Join(cfg.dir, "agent")), lan)
	for _, m := range w.meters {
		fmt.Fprintf(&b, "  - {product: %s, device: %s, secret: %s}\n", m.id.Product, m.id.SN, m.secret.Reveal())
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}

// local makes an address that listens everywhere one to connect to.
func local(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
