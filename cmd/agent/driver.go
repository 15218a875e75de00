//go:build !core

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/agent"
)

// drivers are the commands about them.
func drivers(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		return wrongUse("driver: want list or check")
	}
	fs := flag.NewFlagSet("hawser-agent driver "+args[0], flag.ContinueOnError)
	fs.SetOutput(errOut)
	switch args[0] {
	case "list":
		return driverList(ctx, fs, args[1:], out)
	case "check":
		return driverCheck(ctx, fs, args[1:], out)
	}
	return wrongUse("driver: no command %q, want list or check", args[0])
}

func driverList(ctx context.Context, fs *flag.FlagSet, args []string, out io.Writer) error {
	path := fs.String("config", "", "the configuration `file` (YAML)")
	if err := parse(fs, args); err != nil {
		return err
	}
	cfg, err := loadFile(*path, fs)
	if err != nil {
		return err
	}
	list, err := agent.Drivers(ctx, cfg)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DRIVER\tRUNNING\tSTARTS\tMESSAGES\tDROPPED\tBAD")
	for _, d := range list {
		fmt.Fprintf(w, "%s\t%t\t%d\t%d\t%d\t%d\n", d.Name, d.Running, d.Starts, d.Messages, d.Dropped, d.Bad)
	}
	return w.Flush()
}

func driverCheck(ctx context.Context, fs *flag.FlagSet, args []string, out io.Writer) error {
	settings := fs.String("settings", "{}", "what the driver gets as its config, `JSON`")
	wait := fs.Duration("wait", 30*time.Second, "how long it may take to publish something")
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		return wrongUse("driver check: name the driver's command behind --")
	}
	return agent.CheckDriver(ctx, fs.Args(), []byte(*settings), *wait, out)
}
