package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/agent"
	"github.com/hawser-iot/hawser/edge-agent/trial"
)

// applyConfig puts another configuration in force, on trial, and waits for its end.
func applyConfig(ctx context.Context, args []string, out, errOut io.Writer) error {
	fs, path, _ := configFlag("config apply", nil, errOut)
	file := fs.String("new", "", "the `file` that takes its place")
	within := fs.Duration("within", 2*time.Minute, "how long the agent may take until it is connected to the hub, else the change is taken back")
	wait := fs.Bool("wait", true, "wait for the outcome")
	if err := parse(fs, args); err != nil {
		return err
	}
	switch {
	case *path == "" || *file == "":
		return wrongUse("--config and --new must be there")
	case fs.NArg() > 0:
		return wrongUse("unexpected argument %q", fs.Arg(0))
	case *within < time.Second:
		return wrongUse("--within: less than a second")
	}
	next, err := os.ReadFile(*file)
	if err != nil {
		return usageError{err}
	}
	if err := agent.ApplyConfig(ctx, *path, next, *within); err != nil {
		return err
	}
	fmt.Fprintf(out, "on trial for %s\n", *within)
	if !*wait {
		return nil
	}
	return outcome(ctx, *path, *within, out)
}

// outcome waits for a trial's end, some starts longer than it has.
func outcome(ctx context.Context, path string, within time.Duration, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 2*within+30*time.Second)
	defer cancel()
	for {
		o, ok, err := trial.Last(path)
		switch {
		case err != nil:
			return err
		case ok && o.Applied:
			fmt.Fprintln(out, "applied")
			return nil
		case ok:
			return fmt.Errorf("taken back: %s", o.Why)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no outcome yet: is the agent running? %w", ctx.Err())
		}
	}
}
