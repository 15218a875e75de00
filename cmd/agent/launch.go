package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"strings"

	"github.com/hawser-iot/hawser/edge-agent/agent"
)

// launch replaces this program by that of the slot that is to be started.
func launch(ctx context.Context, args []string, errOut io.Writer) error {
	fs := flag.NewFlagSet("hawser-agent launch", flag.ContinueOnError)
	fs.SetOutput(errOut)
	dir := fs.String("dir", "", "the `folder` with a folder for each slot")
	slots := fs.String("slots", "A,B", "the `names` of the slots")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	if *dir == "" || fs.NArg() == 0 {
		return wrongUse("want --dir DIR -- and what the agent is to be started with, such as run --config FILE")
	}
	return agent.Launch(ctx, *dir, strings.Split(*slots, ","), fs.Args(), errOut)
}
