package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newFirmwareDirector(c *cli) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "director",
		Short: "Print the hub's public director key, for root documents; list, rotate, retire",
		Long: `Print the hub's public director key, for root documents: the newest.

The hub signs with it which device gets which release. Its private half never leaves
the hub; all nodes have the same.

Another one, step by step: director rotate makes the next; root documents of all
products name both, then devices walk to them with their updates, and from each such
document on the hub signs with the new one; the next root documents name only that;
director retire has the hub forget the old one.`,
		Example: `  hawserctl firmware director --out hub.pem.pub
  hawserctl firmware root init root.1 --director-key hub.pem.pub …`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.directorKey(cmd.Context(), out, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetDirector(ctx)
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file for the key; must not be there")
	cmd.AddCommand(newDirectorList(c), newDirectorRotate(c), newDirectorRetire(c))
	return cmd
}

// directorKey prints a director key that the hub answers, or writes it into a file.
func (c *cli) directorKey(ctx context.Context, out string, call request) error {
	b, err := c.do(ctx, call)
	if err != nil {
		return err
	}
	var d apitype.Director
	if err := json.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	switch {
	case out != "":
		fmt.Fprintln(c.errOut, "key id "+d.KeyID)
		return c.writeFile(out, []byte(d.PublicKey), 0o644, true)
	case c.raw():
		return c.printRaw(b)
	}
	_, err = fmt.Fprint(c.out, d.PublicKey)
	return err
}

func newDirectorList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the hub's director keys: for how many products each signs, and how many newest root documents name it",
		Example: "  hawserctl firmware director list",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			items, err := c.all(cmd.Context(), 0, func(ctx context.Context, client *apiclient.Client, _ *int, _ *string) (*http.Response, error) {
				return client.ListDirectors(ctx)
			})
			if err != nil {
				return err
			}
			return c.printList(items, "keyID", "signs", "named", "createdAt", "retiredAt")
		},
	}
}

func newDirectorRotate(c *cli) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make the hub's next director key, and print its public half",
		Long: `Make the hub's next director key, and print its public half.

The present one signs on. For a product the next one signs as soon as its newest root
document names it, beside the present one or in its place.`,
		Example: `  hawserctl firmware director rotate --out hub-2.pub
  hawserctl firmware root rotate root.1 --out root.2 --director-key hub.pub --director-key hub-2.pub --key anna-root.pem
  hawserctl firmware trust set 70ly1tvowt696r15 root.2`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.directorKey(cmd.Context(), out, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.RotateDirector(ctx)
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file for the key; must not be there")
	return cmd
}

func newDirectorRetire(c *cli) *cobra.Command {
	var body apitype.DirectorRetirement
	cmd := simple(c, "retire KEYID", "Sign with a director key no more, and forget its private half",
		"hawserctl firmware director retire 5f3c09…\n  hawserctl firmware director retire 5f3c09… --force",
		func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
			return client.RetireDirector(ctx, args[0], body)
		})
	cmd.Flags().BoolVar(&body.Force, "force", false, "also when devices of a product would take nothing from this hub then: after a theft")
	return cmd
}
