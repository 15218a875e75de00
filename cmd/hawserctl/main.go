// Command hawserctl works a Hawser hub from the shell, through its API.
//
// Every command is a thin layer over one API call: it builds the request from arguments and flags, and prints the
// API's own objects as a table, JSON or YAML. What it promises to scripts is the output of -o json and the exit codes
// in exit.go. It keeps no state and no configuration file.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the build.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	cmd := newRoot(&cli{out: os.Stdout, errOut: os.Stderr, in: os.Stdin})
	err := cmd.ExecuteContext(ctx)
	if err != nil && ctx.Err() == nil && !errors.Is(err, errDryRun) {
		fmt.Fprintln(os.Stderr, "hawserctl:", err)
	}
	return exitCode(ctx, err)
}
