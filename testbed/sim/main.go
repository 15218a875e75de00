// Command sim is a small world to look at and to load a hub with.
//
//	sim demo    starts a hub with a demo fleet and shows what goes on; `make run` calls it
//	sim load    connects many devices to a running hub and publishes at a rate
//
// The devices are programs on device-sdk like any user's; the hub and the agent
// are the real binaries. Everything that sim starts it ends, also when it is
// killed itself (on Linux).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `Usage:
  sim demo [flags]   a hub, simulated devices and a gateway; Ctrl-C ends it all
  sim load [flags]   many devices that publish at a rate, against a running hub

sim demo -h and sim load -h list the flags.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "sim:", err)
		stop()
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, out *os.File, errOut io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(errOut, usage)
		return errors.New("name a command")
	}
	switch args[0] {
	case "demo":
		cfg, err := demoFlags(args[1:], errOut)
		if err != nil {
			return err
		}
		return demo(ctx, cfg, out)
	case "load":
		cfg, err := loadFlags(args[1:], errOut)
		if err != nil {
			return err
		}
		return load(ctx, cfg, out)
	case "help", "-h", "-help", "--help":
		fmt.Fprint(out, usage)
		return nil
	}
	fmt.Fprint(errOut, usage)
	return fmt.Errorf("no command %q", args[0])
}
