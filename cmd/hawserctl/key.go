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
	return group("key", "API keys: create, list, get, delete", `  hawserctl key create dashboard --role viewer
  hawserctl key list`, newKeyCreate(c), newKeyList(c), newKeyGet(c), newKeyDelete(c))
}

func newKeyGet(c *cli) *cobra.Command {
	return simple(c, "get ID", "Show an API key, without its secret", "hawserctl key get k3j2m5qa", func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.GetAPIKey(ctx, args[0])
	})
}

func newKeyCreate(c *cli) *cobra.Command {
	var role string
	var permissions, products []string
	var productRoles map[string]string
	var expires time.Duration
	var pair bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create an API key; it is shown this once",
		Long: `Create an API key; it is shown this once. It is for the project of --project, or for
the hub as a whole. A key never has more than who makes it. The permissions are
those of the role, or the ones of --permission: device.read, device.write,
device.secret, device.control, and read or write of product, group, rule, key,
user, project, audit, ca, job and hub.

With --pair it is a public and a private key, for programs that sign their
requests to the Action API; nothing else takes them.`,
		Example: `  hawserctl key create dashboard --role viewer
  hawserctl key create intern --role admin --expires 720h -o json | jq -r .key
  hawserctl key create app --project farm --permission device.read,device.control --products 70ly1tvowt696r15
  hawserctl key create app --project farm --product-role 70ly1tvowt696r15=viewer,k3v9q0x2m7d4s8b1=engineer
  hawserctl key create erp --project farm --role operator --pair`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := apitype.NewAPIKey{Name: args[0], Role: apitype.Role(role), Permissions: permissions, Products: products, ProductRoles: productRoles, Project: c.project, Pair: pair}
			if len(permissions)+len(productRoles) > 0 && !cmd.Flags().Changed("role") {
				body.Role = ""
			}
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
	cmd.Flags().StringSliceVar(&permissions, "permission", nil, "these permissions instead of a role")
	cmd.Flags().StringSliceVar(&products, "products", nil, "only for these products of the project")
	cmd.Flags().StringToStringVar(&productRoles, "product-role", nil, "P=ROLE,…: a role on each of these products, instead of --role")
	cmd.Flags().BoolVar(&pair, "pair", false, "a public and a private key, to sign requests to the Action API with")
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long it is valid (default for ever)")
	return cmd
}

func newKeyList(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List API keys, without their secrets",
		Example: "  hawserctl key list\n  hawserctl key list --filter 'state:expired OR used<-90d' --sort used",
		Args:    exactArgs(),
	}
	return chosen(c, cmd, "name, id, role (owner, …, viewer, none), state (valid, expired), pair (yes, no), project,\ncreator, used, expires",
		"name, role, project, used, expires", []string{"id", "name", "role", "project", "products", "productRoles", "pair", "lastUsedAt", "expiresAt", "createdAt"},
		func(ctx context.Context, client *apiclient.Client, _ []string, p part) (*http.Response, error) {
			return client.ListAPIKeys(ctx, &apitype.ListAPIKeysParams{Filter: p.filter, Sort: p.sort, Limit: p.limit, Cursor: p.cursor})
		})
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
