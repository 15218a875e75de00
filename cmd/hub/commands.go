package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hawser-iot/hawser/cloud/hub"
)

// addSettings gives cmd a flag for each setting and returns what loads them.
func addSettings(cmd *cobra.Command) func() (*hub.Config, map[string]string, error) {
	defaults := hub.DefaultConfig()
	f := cmd.Flags()
	file := f.String("config", "", "YAML file of settings (HAWSER_CONFIG)")
	names := map[string]bool{}
	for _, s := range defaults.Settings() {
		f.String(s.Flag, s.String(), s.Usage)
		if s.IsBool() {
			f.Lookup(s.Flag).NoOptDefVal = "true"
		}
		f.Lookup(s.Flag).Hidden = s.Old
		names[s.Flag] = true
	}
	return func() (*hub.Config, map[string]string, error) {
		given := map[string]string{}
		f.Visit(func(flag *pflag.Flag) {
			if names[flag.Name] {
				given[flag.Name] = flag.Value.String()
			}
		})
		if *file == "" {
			*file = os.Getenv("HAWSER_CONFIG")
		}
		c, from, err := hub.Load(*file, os.LookupEnv, given)
		if err != nil {
			return nil, nil, usageError{err}
		}
		return c, from, nil
	}
}

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the hub until SIGTERM or Ctrl-C",
		Long: `Run the hub until SIGTERM or Ctrl-C, which stop it in order; a second signal ends
it at once. The log is on standard error. When all doors are open it has a line
msg=ready with the address of each.

SIGHUP has it read its certificate, DATA/tls/hub.pem, again at once; a changed
one is noticed within seconds anyway.

At the first start the owner's API key is printed once, or written to
--bootstrap-key-file.`,
		Example: `  hawser-hub serve
  hawser-hub serve --data /tmp/h --mqtt-addr 127.0.0.1:0 --mqtts-addr off --bootstrap-key-file /tmp/h.key
  HAWSER_STORE_DSN=postgres://hawser:secret@db/hawser hawser-hub serve --node 3`,
		Args: noArgs,
	}
	load := addSettings(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, _, err := load()
		if err != nil {
			return err
		}
		h, err := hub.New(cmd.Context(), c, version, c.Logger(os.Stderr))
		if err != nil {
			return err
		}
		go reloadOnSignal(cmd.Context(), h)
		return h.Run(cmd.Context())
	}
	return cmd
}

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the effective configuration as a file, secrets hidden",
		Example: `  hawser-hub config > hub.yaml
  HAWSER_HTTP_ADDR=:80 hawser-hub config --config hub.yaml`,
		Args: noArgs,
	}
	load := addSettings(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, from, err := load()
		if err != nil {
			return err
		}
		return c.Write(cmd.OutOrStdout(), from)
	}
	return cmd
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  hawser-hub version",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "hawser-hub %s (%s %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected %q; see %s --help", args[0], cmd.CommandPath())}
	}
	return nil
}
