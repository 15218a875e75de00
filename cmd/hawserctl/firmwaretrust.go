package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
)

func newFirmwareTrust(c *cli) *cobra.Command {
	return group("trust", "Root documents that the hub holds the firmware of a product to: set, list", `  hawserctl firmware trust set 70ly1tvowt696r15 root.1
  hawserctl firmware trust list 70ly1tvowt696r15`,
		newFirmwareTrustSet(c), newFirmwareTrustList(c))
}

// rootMembers are what lists show of a root document.
var rootMembers = []string{"version", "issuedAt", "notAfter", "root.threshold", "root.keyIDs", "release.threshold", "release.keyIDs", "director.keyIDs"}

// showRoots prints root documents, and warns of what devices would not take.
func (c *cli) showRoots(ctx context.Context, call request) error {
	b, err := c.do(ctx, call)
	if err != nil {
		return err
	}
	var list struct {
		Items   []json.RawMessage `json:"items"`
		Warning string            `json:"warning"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	if list.Warning != "" {
		fmt.Fprintln(c.errOut, "warning: "+list.Warning)
	}
	return c.printList(list.Items, rootMembers...)
}

func newFirmwareTrustSet(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "set PRODUCT ROOT",
		Short: "Give the hub the first root document of a product, or the one that follows",
		Long: `Give the hub the first root document of a product, or the one that follows.

The first one is believed: compare its key ids before, with firmware inspect. Each
further one must follow the newest and be signed by the thresholds of both. Devices
that verify manifests get it with their next update.`,
		Example: `  hawserctl firmware trust set 70ly1tvowt696r15 root.1
  hawserctl firmware trust set 70ly1tvowt696r15 root.2`,
		Args: exactArgs("PRODUCT", "ROOT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := c.readFile(args[1])
			if err != nil {
				return err
			}
			return c.showRoots(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.AddRootWithBody(ctx, args[0], octets, bytes.NewReader(doc))
			})
		},
	}
}

func newFirmwareTrustList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "list PRODUCT",
		Short:   "List the root documents of a product, the oldest first",
		Example: "  hawserctl firmware trust list 70ly1tvowt696r15",
		Args:    exactArgs("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.showRoots(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.ListRoots(ctx, args[0])
			})
		},
	}
}
