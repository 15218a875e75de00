//go:build !core

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/hawser-iot/hawser/edge-agent/agent"
)

// routes is the command of that name: with reload the running agent reads its routes again.
func routes(ctx context.Context, args []string, out, errOut io.Writer) error {
	reload := len(args) > 0 && args[0] == "reload"
	if reload {
		args = args[1:]
	}
	fs := flag.NewFlagSet("hawser-agent routes", flag.ContinueOnError)
	fs.SetOutput(errOut)
	path := fs.String("config", "", "the configuration `file` (YAML)")
	if err := parse(fs, args); err != nil {
		return err
	}
	cfg, err := loadFile(*path, fs)
	if err != nil {
		return err
	}
	if reload {
		return agent.Reload(ctx, cfg)
	}
	s, err := agent.Routes(ctx, cfg)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROUTE\tMATCHED\tFAILED\tSENT\tWAITING\tUNDELIVERED")
	for _, r := range s.Routes {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", r.Name, r.Matched, r.Failed, r.Sent, r.Waiting, r.Undelivered)
	}
	return w.Flush()
}
