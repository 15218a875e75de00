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

func newGroup(c *cli) *cobra.Command {
	return group("group", "Groups of devices: create, list, get, update, delete, devices, add, remove", `  hawserctl group create east
  hawserctl group add east 70ly1tvowt696r15/cellar-1 70ly1tvowt696r15/cellar-2
  hawserctl group create stale --filter 'lastSeen<-30d -state:disabled'
  hawserctl device search group:east`,
		newGroupCreate(c), newGroupList(c), newGroupUpdate(c), newGroupDevices(c),
		groupCall(c, "get", "Get a group", func(ctx context.Context, client *apiclient.Client, name string) (*http.Response, error) {
			return client.GetGroup(ctx, name)
		}),
		groupCall(c, "delete", "Delete a group, not its devices", func(ctx context.Context, client *apiclient.Client, name string) (*http.Response, error) {
			return client.DeleteGroup(ctx, name)
		}),
		groupChange(c, "add", "Put devices into a group of members, all or none", func(ctx context.Context, client *apiclient.Client, name string, body apitype.GroupDevices) (*http.Response, error) {
			return client.AddGroupDevices(ctx, name, body)
		}),
		groupChange(c, "remove", "Take devices out of a group of members", func(ctx context.Context, client *apiclient.Client, name string, body apitype.GroupDevices) (*http.Response, error) {
			return client.RemoveGroupDevices(ctx, name, body)
		}))
}

// groupCall is a command with a group as its only argument.
func groupCall(c *cli, verb, short string, call func(ctx context.Context, client *apiclient.Client, name string) (*http.Response, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " NAME",
		Short:   short,
		Example: "  hawserctl group " + verb + " east",
		Args:    exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return call(ctx, client, args[0])
			})
		},
	}
}

// groupChange is a command that adds or removes devices, given as P/D.
func groupChange(c *cli, verb, short string, call func(ctx context.Context, client *apiclient.Client, name string, body apitype.GroupDevices) (*http.Response, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " NAME P/D…",
		Short:   short,
		Long:    short + ". A device is productSN/deviceSN.",
		Example: "  hawserctl group " + verb + " east 70ly1tvowt696r15/cellar-1 70ly1tvowt696r15/cellar-2",
		Args:    rangeArgs(2, -1, "NAME", "P/D (productSN/deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var body apitype.GroupDevices
			for _, arg := range args[1:] {
				product, sn, ok := strings.Cut(arg, "/")
				if !ok || product == "" || sn == "" {
					return usageError{fmt.Errorf("%q is not productSN/deviceSN", arg)}
				}
				body.Devices = append(body.Devices, apitype.DeviceName{ProductSN: product, DeviceSN: sn})
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return call(ctx, client, args[0], body)
			})
		},
	}
}

func newGroupCreate(c *cli) *cobra.Command {
	var body apitype.NewGroup
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a group of members, or one by a filter",
		Long:  "Create a group. Without --filter its members are what group add puts into it; with\n--filter they are whatever that takes at the moment.\n\n" + filterHelp,
		Example: `  hawserctl group create east --description 'behind the river'
  hawserctl group create stale --filter 'lastSeen<-30d -state:disabled'`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body.Name = args[0]
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CreateGroup(ctx, body)
			})
		},
	}
	cmd.Flags().StringVar(&body.Description, "description", "", "description")
	cmd.Flags().StringVar(&body.Filter, "filter", "", "its devices are what this takes")
	return cmd
}

func newGroupList(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List groups",
		Example: "  hawserctl group list\n  hawserctl group list --filter kind:filter --sort -updated",
		Args:    exactArgs(),
	}
	return chosen(c, cmd, "name, kind (members, filter), description, updated", "name, kind, description, updated", []string{"name", "filter", "description"},
		func(ctx context.Context, client *apiclient.Client, _ []string, p part) (*http.Response, error) {
			return client.ListGroups(ctx, &apitype.ListGroupsParams{Filter: p.filter, Sort: p.sort, Limit: p.limit, Cursor: p.cursor})
		})
}

func newGroupUpdate(c *cli) *cobra.Command {
	var name, description, filter string
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Change what the flags name of a group",
		Example: `  hawserctl group update east --name west
  hawserctl group update stale --filter 'lastSeen<-60d'`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := cmd.Flags()
			body := apitype.GroupPatch{Name: given(f, "name", &name), Description: given(f, "description", &description), Filter: given(f, "filter", &filter)}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UpdateGroup(ctx, args[0], body)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name")
	cmd.Flags().StringVar(&description, "description", "", "description")
	cmd.Flags().StringVar(&filter, "filter", "", "filter, of a group that has one")
	return cmd
}

func newGroupDevices(c *cli) *cobra.Command {
	var most int
	var sort string
	cmd := &cobra.Command{
		Use:     "devices NAME",
		Short:   "List a group's devices",
		Example: "  hawserctl group devices east --sort name",
		Args:    exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			params := apitype.ListGroupDevicesParams{Sort: optional(sort)}
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				params.Limit, params.Cursor = limit, cursor
				return client.ListGroupDevices(ctx, args[0], &params)
			})
			if err != nil {
				return err
			}
			return c.printList(items, searchMembers...)
		},
	}
	limitFlag(cmd, &most)
	sortFlag(cmd, &sort)
	return cmd
}
