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
)

// version is set by the linker.
var version = "dev"

const usage = `hawser-agent carries the sub-devices of a gateway to a Hawser hub.

Usage:
  hawser-agent run --config FILE            work until SIGINT or SIGTERM
  hawser-agent check-config --config FILE   read the file and say whether it is right
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
		cfg, err := load(args[0], args[1:], errOut)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "ok: gateway %s/%s, hub %s, %d sub-devices at %s\n",
			cfg.Product, cfg.Device, cfg.Hub, len(cfg.Subdevices), cfg.Listen)
		return nil
	case "version":
		fmt.Fprintf(out, "hawser-agent %s %s %s/%s\n", revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return nil
	case "help", "-h", "-help", "--help":
		fmt.Fprint(out, usage)
		return nil
	}
	fmt.Fprint(errOut, usage)
	return wrongUse("no command %q", args[0])
}

func load(name string, args []string, errOut io.Writer) (agent.Config, error) {
	fs := flag.NewFlagSet("hawser-agent "+name, flag.ContinueOnError)
	fs.SetOutput(errOut)
	path := fs.String("config", "", "the configuration `file` (YAML)")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return agent.Config{}, err
		}
		return agent.Config{}, usageError{err}
	}
	switch {
	case *path == "":
		return agent.Config{}, wrongUse("--config is missing")
	case fs.NArg() > 0:
		return agent.Config{}, wrongUse("unexpected argument %q", fs.Arg(0))
	}
	cfg, err := agent.Load(*path)
	if err != nil {
		return agent.Config{}, usageError{err}
	}
	return cfg, nil
}

func run(ctx context.Context, args []string, errOut io.Writer) error {
	cfg, err := load("run", args, errOut)
	if err != nil {
		return err
	}
	a, err := agent.New(cfg, cfg.Logger(errOut))
	if err != nil {
		return err
	}
	return a.Run(ctx)
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
