package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newKey(c *cli) *cobra.Command {
	return group("key", "API keys: create, list, delete", `  hawserctl key create dashboard --role viewer
  hawserctl key list`, newKeyCreate(c), newKeyList(c), newKeyDelete(c))
}

func newKeyCreate(c *cli) *cobra.Command {
	var role string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create an API key; it is shown this once",
		Example: `  hawserctl key create dashboard --role viewer
  hawserctl key create intern --role admin --expires 720h -o json | jq -r .key`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := apitype.NewAPIKey{Name: args[0], Role: apitype.Role(role)}
			if cmd.Flags().Changed("expires") {
				if expires <= 0 {
					return usageError{fmt.Errorf("--expires %v: must be more than 0", expires)}
				}
				body.ExpiresAt = time.Now().Add(expires).UTC().Truncate(time.Second)
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CreateAPIKey(ctx, body)
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "owner", "owner, admin, operator, engineer or viewer")
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long it is valid (default for ever)")
	return cmd
}

func newKeyList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List API keys, without their secrets",
		Example: "  hawserctl key list",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.ListAPIKeys(ctx)
			})
			if err != nil {
				return err
			}
			items, err := itemsOf(b)
			if err != nil {
				return err
			}
			return c.printList(items, "id", "name", "role", "lastUsedAt", "expiresAt", "createdAt")
		},
	}
}

func newKeyDelete(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "delete ID",
		Short:   "Delete an API key; it is refused from now on",
		Example: "  hawserctl key delete k3j2m5qa",
		Args:    exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.DeleteAPIKey(ctx, args[0])
			})
		},
	}
}
