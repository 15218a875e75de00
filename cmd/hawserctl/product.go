package main

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newProduct(c *cli) *cobra.Command {
	return group("product", "Products: create, list, get, update, publish, settings, delete, thing model, topics", `  hawserctl product create thermometer --thing-model model.json
  hawserctl product list
  hawserctl product model set 70ly1tvowt696r15 model.json`,
		newProductCreate(c), newProductList(c), newProductGet(c), newProductUpdate(c), newProductDelete(c),
		newProductModel(c), newProductTopics(c), newProductSettings(c), newProductReveal(c),
		productPublish(c, "publish", "Freeze the thing model of a product", true),
		productPublish(c, "unpublish", "Let the thing model of a product change again", false))
}

func newProductReveal(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "reveal P",
		Short:   "See a product's secret, which the audit log tells",
		Example: "  hawserctl product reveal 70ly1tvowt696r15",
		Args:    exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.RevealProduct(ctx, args[0])
			})
		},
	}
}

func newProductCreate(c *cli) *cobra.Command {
	var body apitype.NewProduct
	var kind, model string
	var noShadow bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a product",
		Example: `  hawserctl product create thermometer
  hawserctl product create gateway --kind gateway --dynamic-register
  P=$(hawserctl product create thermometer -o json | jq -r .productSN)`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body.Name, body.Kind = args[0], apitype.ProductKind(kind)
			if noShadow {
				body.Shadow = new(bool)
			}
			return c.createProduct(cmd.Context(), body, model)
		},
	}
	f := cmd.Flags()
	f.StringVar(&kind, "kind", "device", "device, gateway or subdevice")
	f.StringVar(&body.Description, "description", "", "description")
	f.BoolVar(&body.DynamicRegister, "dynamic-register", false, "let devices fetch their secret with the productSecret")
	f.BoolVar(&body.PreRegister, "pre-register", false, "… but only devices that exist already")
	f.BoolVar(&noShadow, "no-shadow", false, "devices have no shadow")
	f.StringVar(&model, "thing-model", "", "JSON file of a thing model, - for standard input")
	return cmd
}

func (c *cli) createProduct(ctx context.Context, body apitype.NewProduct, modelFile string) error {
	var model json.RawMessage
	if modelFile != "" {
		// Before anything is created, so that a wrong file leaves nothing behind.
		b, err := c.readFile(modelFile)
		if err != nil {
			return err
		}
		if model, err = checkObject(b); err != nil {
			return err
		}
	}
	b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.CreateProduct(ctx, body)
	})
	if err != nil {
		return err
	}
	if model != nil {
		var p apitype.Product
		if err := json.Unmarshal(b, &p); err != nil {
			return err
		}
		if _, err := c.do(ctx, setModel(p.ProductSN, model)); err != nil {
			return err
		}
	}
	return c.printOne(b)
}

func newProductList(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List products",
		Example: "  hawserctl product list\n  hawserctl product list -o json --limit 10\n  hawserctl product list --filter 'kind:gateway published:yes' --sort name",
		Args:    exactArgs(),
	}
	return chosen(c, cmd, "name, sn, kind (device, gateway, subdevice), published (yes, no), project, description, updated",
		"name, sn, kind, published, project, updated", []string{"productSN", "name", "kind", "published", "createdAt"},
		func(ctx context.Context, client *apiclient.Client, _ []string, p part) (*http.Response, error) {
			return client.ListProducts(ctx, &apitype.ListProductsParams{Filter: p.filter, Sort: p.sort, Limit: p.limit, Cursor: p.cursor})
		})
}

func limitFlag(cmd *cobra.Command, most *int) {
	cmd.Flags().IntVar(most, "limit", 0, "at most so many (0: all)")
}

func newProductGet(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "get P",
		Short:   "Get a product",
		Example: "  hawserctl product get 70ly1tvowt696r15",
		Args:    exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetProduct(ctx, args[0])
			})
		},
	}
}

// show makes the call and prints the object that it answers.
func (c *cli) show(ctx context.Context, call request) error {
	b, err := c.do(ctx, call)
	if err != nil || b == nil {
		return err
	}
	return c.printOne(b)
}

func newProductUpdate(c *cli) *cobra.Command {
	var name, description string
	var dynamic, pre, shadow, published bool
	cmd := &cobra.Command{
		Use:   "update P",
		Short: "Change what the flags name of a product",
		Example: `  hawserctl product update 70ly1tvowt696r15 --name hygrometer
  hawserctl product update 70ly1tvowt696r15 --dynamic-register=false --published`,
		Args: exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := cmd.Flags()
			body := apitype.ProductPatch{
				Name: given(f, "name", &name), Description: given(f, "description", &description),
				DynamicRegister: given(f, "dynamic-register", &dynamic), PreRegister: given(f, "pre-register", &pre),
				Shadow: given(f, "shadow", &shadow), Published: given(f, "published", &published),
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UpdateProduct(ctx, args[0], body)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "name")
	f.StringVar(&description, "description", "", "description")
	f.BoolVar(&dynamic, "dynamic-register", false, "let devices fetch their secret with the productSecret")
	f.BoolVar(&pre, "pre-register", false, "… but only devices that exist already")
	f.BoolVar(&shadow, "shadow", false, "devices have shadows")
	f.BoolVar(&published, "published", false, "freeze the thing model")
	return cmd
}

// given returns v if the flag was set, else nil.
func given[T any](f *pflag.FlagSet, name string, v *T) *T {
	if f.Changed(name) {
		return v
	}
	return nil
}

func newProductDelete(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "delete P",
		Short:   "Delete a product that has no devices",
		Example: "  hawserctl product delete 70ly1tvowt696r15",
		Args:    exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.DeleteProduct(ctx, args[0])
			})
		},
	}
}
