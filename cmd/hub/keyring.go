package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/hub"
)

func newKeyring() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keyring",
		Short: "Look after the keys that secrets in the store are sealed with",
		Long: `Look after the keys that secrets in the store are sealed with.

The keys are in the file DATA/keyring, made at the first start; --keyring-file
names another one, and HAWSER_KEYRING holds the keys themselves. Without them
the store's secrets cannot be read: keep a copy apart from the store's backups.

A hub that runs alone needs only "rotate". Nodes of a cluster each need a new
key before the first of them seals with it: "add" on one node, copy the file to
all, then "rotate" on one and copy again. Running hubs see a changed file within
seconds and seal what is stored anew, in the background.`,
		Example: `  hawser-hub keyring list
  hawser-hub keyring rotate --data /var/lib/hawser`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeyringList(), newKeyringAdd(), newKeyringRotate(), newKeyringRemove())
	return cmd
}

// keyringCommand is a command with the settings that say where keys and store are.
func keyringCommand(use, short string, args cobra.PositionalArgs, run func(ctx context.Context, c *hub.Config, out io.Writer, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: "  hawser-hub keyring " + use + " --data /var/lib/hawser", Args: args}
	load := addSettings(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, _, err := load()
		if err != nil {
			return err
		}
		return run(cmd.Context(), c, cmd.OutOrStdout(), args)
	}
	return cmd
}

func newKeyringList() *cobra.Command {
	return keyringCommand("list", "List the keys, and how many values are sealed under each", noArgs,
		func(ctx context.Context, c *hub.Config, out io.Writer, _ []string) error {
			list, err := hub.KeyringList(ctx, c)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tMADE\tUSE\tVALUES")
			for _, k := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, made(k.Created), use(k), values(k.Values))
			}
			return w.Flush()
		})
}

func made(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.Format(time.RFC3339)
}

func use(k hub.KeyInfo) string {
	switch {
	case k.Seals:
		return "seals"
	case k.Standby:
		return "standby"
	}
	return "opens"
}

func values(n int) string {
	if n < 0 {
		return "? (a hub is running)"
	}
	return fmt.Sprint(n)
}

func newKeyringAdd() *cobra.Command {
	return keyringCommand("add", "Make a key that opens and does not seal until rotate", noArgs,
		func(_ context.Context, c *hub.Config, out io.Writer, _ []string) error {
			k, err := hub.KeyringAdd(c)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(out, "added %s as standby: copy the file to every node, then run hawser-hub keyring rotate\n", k.ID)
			return err
		})
}

func newKeyringRotate() *cobra.Command {
	var alone bool
	cmd := keyringCommand("rotate", "Seal with the standby key, or with a new one, and seal what is stored anew", noArgs,
		func(ctx context.Context, c *hub.Config, out io.Writer, _ []string) error {
			key, n, done, err := hub.KeyringRotate(ctx, c, alone)
			if err != nil {
				return err
			}
			if !done {
				_, err = fmt.Fprintf(out, "%s seals from now on; the running hub seals what is stored anew\n", key)
				return err
			}
			_, err = fmt.Fprintf(out, "%s seals from now on; %d values were sealed anew\n", key, n)
			return err
		})
	cmd.Flags().BoolVar(&alone, "alone", false, "with PostgreSQL: this is the only node, a new key needs no copying")
	return cmd
}

func newKeyringRemove() *cobra.Command {
	return keyringCommand("remove ID", "Remove a key that nothing is sealed under any more", cobra.ExactArgs(1),
		func(ctx context.Context, c *hub.Config, _ io.Writer, args []string) error {
			return hub.KeyringRemove(ctx, c, args[0])
		})
}
