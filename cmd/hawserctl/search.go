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

// filterHelp is the filter language in short.
const filterHelp = `A filter is made of terms; those beside each other must all hold. OR, NOT (or a minus
sign before a term) and parentheses do what they say.

  state:online              inactive, online, offline or disabled
  product:70ly1tvowt696r15
  sn:cellar-1  sn:cellar*   the whole deviceSN, or its beginning
  name:"pump 3"  name:pump* a-z and A-Z are the same
  tag.region:eu             also tag.region:e* and tag.region:* (there is one)
  group:east
  created>2026-01-01        also <, <=, >=; a time is 2026-01-01T12:00:00Z
  lastSeen<-7d              more than a week ago (s, m, h, d, w); lastSeen:never
  cellar                    a bare word is the beginning of a deviceSN or name

= may stand for :, and != for its opposite. Values with blanks or ( ) " * \ go into
double quotes. Quote the whole for your shell: 'state:offline lastSeen<-7d'.`

// searchMembers are the columns of a table of devices of several products.
var searchMembers = []string{"productSN", "deviceSN", "state", "name", "lastSeen"}

func sortFlag(cmd *cobra.Command, sort *string) {
	cmd.Flags().StringVar(sort, "sort", "", "created, name, sn or lastSeen; -name and so on for the other way round")
}

func newDeviceSearch(c *cli) *cobra.Command {
	var most int
	var sort string
	cmd := &cobra.Command{
		Use:   "search [FILTER…]",
		Short: "Find devices of all products",
		Long:  "Find devices of all products of the project: that of --project, else your own, else the default one. Several arguments are one filter.\n\n" + filterHelp,
		Example: `  hawserctl device search 'state:offline lastSeen<-7d'
  hawserctl device search 'tag.region:eu (group:east OR sn:cellar*)' --sort -lastSeen --limit 20
  hawserctl device search -- -state:disabled`,
		Args: rangeArgs(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter := strings.Join(args, " ")
			params := apitype.SearchDevicesParams{Filter: &filter, Sort: optional(sort)}
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				params.Limit, params.Cursor = limit, cursor
				return client.SearchDevices(ctx, &params)
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

// optional is a parameter that is left out when it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func newDeviceCount(c *cli) *cobra.Command {
	var byState bool
	cmd := &cobra.Command{
		Use:   "count [FILTER…]",
		Short: "Count devices of all products",
		Long:  "Count devices of all products of the project: that of --project, else your own, else the default one. Several arguments are one filter.\n\n" + filterHelp,
		Example: `  hawserctl device count
  hawserctl device count --by-state product:70ly1tvowt696r15
  hawserctl device count 'lastSeen<-30d OR lastSeen:never'`,
		Args: rangeArgs(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter := strings.Join(args, " ")
			params := apitype.CountDevicesParams{Filter: &filter}
			if byState {
				params.By = optional("state")
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CountDevices(ctx, &params)
			})
		},
	}
	cmd.Flags().BoolVar(&byState, "by-state", false, "count each state by itself as well")
	return cmd
}

func newDeviceTag(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "tag P D TAG…",
		Short: "Add, change and take away tags of a device",
		Long: `Add, change and take away tags of a device. NAME=VALUE sets one, NAME- takes one away;
others stay.`,
		Example: `  hawserctl device tag 70ly1tvowt696r15 cellar-1 region=eu line=7
  hawserctl device tag 70ly1tvowt696r15 cellar-1 line-`,
		Args: rangeArgs(3, -1, "P (productSN)", "D (deviceSN)", "TAG (NAME=VALUE or NAME-)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			tags, err := tagsOf(args[2:])
			if err != nil {
				return err
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UpdateDevice(ctx, args[0], args[1], apitype.DevicePatch{Tags: tags})
			})
		},
	}
}

// tagsOf reads NAME=VALUE and NAME-, which is nil.
func tagsOf(args []string) (map[string]*string, error) {
	tags := make(map[string]*string, len(args))
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		switch {
		case ok && name != "":
			tags[name] = &value
		case !ok && len(arg) > 1 && strings.HasSuffix(arg, "-"):
			tags[strings.TrimSuffix(arg, "-")] = nil
		default:
			return nil, usageError{fmt.Errorf("%q is neither NAME=VALUE nor NAME-", arg)}
		}
	}
	return tags, nil
}

func newDeviceHistory(c *cli) *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use:   "history P D",
		Short: "The connection history of a device, newest first",
		Example: `  hawserctl device history 70ly1tvowt696r15 cellar-1 --limit 20
  hawserctl device history 70ly1tvowt696r15 cellar-1 -o csv`,
		Args: exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListConnections(ctx, args[0], args[1], &apitype.ListConnectionsParams{Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "time", "event", "reason", "remote", "transport", "protocol")
		},
	}
	limitFlag(cmd, &most)
	return cmd
}
