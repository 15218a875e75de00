// Command hawser-hub is the Hawser hub.
//
// It holds flags, configuration file, environment, signals and the exit code; everything else is cloud/hub.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/hub"
)

// version is set by the build.
var version = "dev"

// usageError is a mistake in arguments, flags, environment or file.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

const exitHelp = `Exit codes:
  0    stopped in order
  1    could not start, or a part failed while running; the last line says which
  2    wrong flag, environment variable or configuration file
  130  a second signal ended it at once`

func main() {
	if len(os.Args) == 2 && os.Args[1] == hub.ScriptWorkerArg {
		os.Exit(hub.ScriptWorker())
	}
	os.Exit(run())
}

func run() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go stopOnSignal(cancel)
	return exitCode(newRoot().ExecuteContext(ctx))
}

// stopOnSignal asks for a graceful stop at the first signal and ends the process at the second.
func stopOnSignal(stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	<-signals
	stop()
	<-signals
	fmt.Fprintln(os.Stderr, "hawser-hub: second signal, ending at once")
	os.Exit(130)
}

// reloadOnSignal passes SIGHUP on until ctx ends.
func reloadOnSignal(ctx context.Context, h *hub.Hub) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)
	for {
		select {
		case <-signals:
			h.Reload()
		case <-ctx.Done():
			return
		}
	}
}

// exitCode is the one place where exit codes are decided.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "hawser-hub:", err)
		return 2
	}
	fmt.Fprintln(os.Stderr, "hawser-hub:", err)
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "hawser-hub",
		Short: "The Hawser hub: one program that devices, gateways and applications connect to",
		Long: `The Hawser hub: one program that devices, gateways and applications connect to.

On its defaults it needs nothing beside it: database, bus and blobs are in the
process and in one data folder. Each setting is a flag of serve, an environment
variable (--mqtt-addr is HAWSER_MQTT_ADDR) and a key of the configuration file
(mqtt_addr); a flag wins over the environment, that over the file.

` + exitHelp,
		Example: `  hawser-hub serve
  hawser-hub serve --data /var/lib/hawser --https-addr :443
  hawser-hub config --config hub.yaml`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; see %s --help", args[0], cmd.CommandPath())}
			}
			return cmd.Help()
		},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(newServe(), newConfig(), newKeyring(), newVersion())
	return root
}
