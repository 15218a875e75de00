package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newProject(c *cli) *cobra.Command {
	get := simple(c, "get PROJECT", "Show a project with its quotas", "hawserctl project get farm", func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.GetProject(ctx, args[0])
	})
	remove := simple(c, "delete PROJECT", "Delete a project without products, rules and keys", "hawserctl project delete farm", func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.DeleteProject(ctx, args[0])
	})
	return group("project", "Projects: list, create, get, update, delete", `  hawserctl project create farm --quota devices=10000,products=20
  hawserctl project list`, newProjectList(c), newProjectCreate(c), get, newProjectUpdate(c), remove)
}

// simple is a command that is one call with the arguments that use names.
func simple(c *cli, use, short, example string, call func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error)) *cobra.Command {
	return &cobra.Command{
		Use:     use,
		Short:   short,
		Example: "  " + example,
		Args:    exactArgs(strings.Fields(use)[1:]...),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return call(ctx, client, args)
			})
		},
	}
}

// listing is a command that prints the items of one call.
func listing(c *cli, use, short, example string, columns []string, call func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error)) *cobra.Command {
	cmd := simple(c, use, short, example, call)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return call(ctx, client, args)
		})
		if err != nil {
			return err
		}
		items, err := itemsOf(b)
		if err != nil {
			return err
		}
		return c.printList(items, columns...)
	}
	return cmd
}

func newProjectList(c *cli) *cobra.Command {
	return listing(c, "list", "List the projects that you have something in", "hawserctl project list", []string{"id", "name", "quota", "createdAt"},
		func(ctx context.Context, client *apiclient.Client, _ []string) (*http.Response, error) {
			return client.ListProjects(ctx)
		})
}

const quotaUsage = "the most of devices, products, rules, users and apiKeys: devices=10000,rules=50; 0 is no limit"

// quotaOf reads --quota into q, whose other members stay.
func quotaOf(q *apitype.Quota, given map[string]int64) error {
	fields := map[string]*int64{"devices": &q.Devices, "products": &q.Products, "rules": &q.Rules, "users": &q.Users, "apiKeys": &q.APIKeys}
	for name, n := range given {
		field := fields[name]
		if field == nil {
			return usageError{fmt.Errorf("--quota: there is none of %q; %s", name, quotaUsage)}
		}
		*field = n
	}
	return nil
}

func newProjectCreate(c *cli) *cobra.Command {
	var body apitype.NewProject
	var quota map[string]int64
	cmd := &cobra.Command{
		Use:     "create PROJECT",
		Short:   "Create a project",
		Example: "  hawserctl project create farm --name 'The farm' --quota devices=10000,products=20",
		Args:    exactArgs("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body.ID = args[0]
			if err := quotaOf(&body.Quota, quota); err != nil {
				return err
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CreateProject(ctx, body)
			})
		},
	}
	cmd.Flags().StringVar(&body.Name, "name", "", "name for display")
	cmd.Flags().StringVar(&body.Description, "description", "", "description")
	cmd.Flags().StringToInt64Var(&quota, "quota", nil, quotaUsage)
	return cmd
}

func newProjectUpdate(c *cli) *cobra.Command {
	var name, description string
	var quota map[string]int64
	var approval bool
	cmd := &cobra.Command{
		Use:     "update PROJECT",
		Short:   "Change a project; --quota replaces all quotas",
		Example: "  hawserctl project update farm --quota devices=20000,products=20",
		Args:    exactArgs("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := apitype.ProjectPatch{Name: given(cmd.Flags(), "name", &name), Description: given(cmd.Flags(), "description", &description)}
			if cmd.Flags().Changed("campaign-approval") {
				body.CampaignApproval = &approval
			}
			if cmd.Flags().Changed("quota") {
				body.Quota = &apitype.Quota{}
				if err := quotaOf(body.Quota, quota); err != nil {
					return err
				}
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UpdateProject(ctx, args[0], body)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name for display")
	cmd.Flags().StringVar(&description, "description", "", "description")
	cmd.Flags().BoolVar(&approval, "campaign-approval", false, "firmware campaigns start when somebody else than their author has approved them")
	cmd.Flags().StringToInt64Var(&quota, "quota", nil, quotaUsage)
	return cmd
}
