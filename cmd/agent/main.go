// Command hawser-agent is the daemon on a gateway: sub-devices log in to it on
// the local network, and it carries their messages to the hub and back, through
// outages and power cuts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/hawser-iot/hawser/edge-agent/agent"
	"github.com/hawser-iot/hawser/edge-agent/journal"
	"github.com/hawser-iot/hawser/edge-agent/trial"
)

// version is set by the linker.
var version = "dev"

const usage = `hawser-agent carries the sub-devices of a gateway to a Hawser hub.

Usage:
  hawser-agent run --config FILE            work until SIGINT or SIGTERM
  hawser-agent status --config FILE         what the running agent says of itself: link, buffer, counters, slot
  hawser-agent logs --config FILE [-f]      the last lines of its log, and those that come
  hawser-agent doctor --config FILE         look for what keeps the gateway from its work, and say what to do
  hawser-agent config COMMAND --config FILE check (also as check-config), show: the configuration, without secrets
  hawser-agent diagnose --config FILE       pack up what whoever helps from afar needs, without secrets
  hawser-agent ota COMMAND --config FILE    status, history, consent, rollback: the gateway's own firmware
  hawser-agent buffer COMMAND --config FILE stat, dump, verify: what waits for the hub
  hawser-agent routes [reload] --config FILE  the counters of the routes in force, or read their file again
  hawser-agent driver list --config FILE    the drivers that the running agent keeps running
  hawser-agent driver check -- COMMAND …    hold a driver to the protocol
  hawser-agent shadow [set] --config FILE …  a shadow that the running agent keeps; change it
  hawser-agent publish --config FILE …      hand the running agent a message of the gateway's own
  hawser-agent launch --dir DIR -- run …    start the agent of the slot that is current in DIR
  hawser-agent version

Exit codes: 0 stopped as asked, 1 failed, 2 wrong use or wrong configuration.
`

// usageError is what the caller can put right; it gives exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func wrongUse(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "hawser-agent:", err)
	if errors.As(err, new(usageError)) {
		os.Exit(2)
	}
	os.Exit(1)
}

func command(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(errOut, usage)
		return wrongUse("name a command")
	}
	switch args[0] {
	case "run":
		return run(ctx, args[1:], errOut)
	case "check-config":
		return checkConfig(args[1:], out, errOut)
	case "status":
		return status(ctx, args[1:], out, errOut)
	case "logs":
		return logs(ctx, args[1:], out, errOut)
	case "doctor":
		return examine(ctx, args[1:], out, errOut)
	case "config":
		return configured(args[1:], out, errOut)
	case "diagnose":
		return diagnose(ctx, args[1:], out, errOut)
	case "ota":
		return firmware(ctx, args[1:], out, errOut)
	case "buffer":
		return buffered(args[1:], out, errOut)
	case "publish":
		return publish(ctx, args[1:], os.Stdin, out, errOut)
	case "shadow":
		return shadow(ctx, args[1:], out, errOut)
	case "routes":
		return routes(ctx, args[1:], out, errOut)
	case "driver":
		return drivers(ctx, args[1:], out, errOut)
	case "launch":
		return launch(ctx, args[1:], errOut)
	case "version":
		fmt.Fprintf(out, "hawser-agent %s %s %s %s/%s\n", revision(), agent.Variant, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return nil
	case "help", "-h", "-help", "--help":
		fmt.Fprint(out, usage)
		return nil
	}
	fmt.Fprint(errOut, usage)
	return wrongUse("no command %q", args[0])
}

func load(name string, args []string, errOut io.Writer) (agent.Config, error) {
	fs, path, err := configFlag(name, args, errOut)
	if err != nil {
		return agent.Config{}, err
	}
	return loadFile(*path, fs)
}

// configFlag reads the flags of a command that has no more than the configuration.
func configFlag(name string, args []string, errOut io.Writer) (fs *flag.FlagSet, path *string, err error) {
	fs = flag.NewFlagSet("hawser-agent "+name, flag.ContinueOnError)
	fs.SetOutput(errOut)
	path = fs.String("config", "", "the configuration `file` (YAML)")
	return fs, path, parse(fs, args)
}

// loadFile reads the configuration that the flags name.
func loadFile(path string, fs *flag.FlagSet) (agent.Config, error) {
	switch {
	case path == "":
		return agent.Config{}, wrongUse("--config is missing")
	case fs.NArg() > 0:
		return agent.Config{}, wrongUse("unexpected argument %q", fs.Arg(0))
	}
	cfg, err := agent.Load(path)
	if err != nil {
		return agent.Config{}, usageError{err}
	}
	return cfg, nil
}

func run(ctx context.Context, args []string, errOut io.Writer) error {
	fs, path, err := configFlag("run", args, errOut)
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		// Gateways have less memory than time: 2.5 MiB less are resident. See docs/benchmarks.md.
		debug.SetGCPercent(25)
	}
	for {
		t, err := trial.Resume(*path)
		if err != nil {
			return err
		}
		a, cfg, err := prepare(ctx, *path, fs, errOut)
		if err != nil && t != nil && ctx.Err() == nil {
			fmt.Fprintln(errOut, "hawser-agent: the configuration on trial is taken back:", err)
			if err := t.TakeBack(err.Error()); err != nil {
				return err
			}
			continue
		}
		if err != nil || a == nil {
			return err
		}
		a.Trial, a.ConfigPath = t, *path
		if err = a.Run(ctx); errors.Is(err, agent.ErrRestart) && ctx.Err() == nil {
			return agent.Relaunch(cfg, os.Args[1:])
		}
		return err
	}
}

// prepare makes the agent; nil when ctx has ended meanwhile.
func prepare(ctx context.Context, path string, fs *flag.FlagSet, errOut io.Writer) (*agent.Agent, agent.Config, error) {
	cfg, err := loadFile(path, fs)
	if err != nil {
		return nil, cfg, err
	}
	lines := journal.New(errOut)
	log := cfg.Logger(lines)
	if err := cfg.Obtain(ctx, log); err != nil || ctx.Err() != nil {
		return nil, cfg, err
	}
	a, err := agent.New(cfg, log)
	if err != nil {
		return nil, cfg, err
	}
	a.Version, a.Journal = revision(), lines
	return a, cfg, nil
}

// revision is the linker's version, with the commit that the build knows.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return version + "+" + s.Value[:12]
		}
	}
	return version
}
