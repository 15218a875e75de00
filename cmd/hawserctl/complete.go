package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// completeWithin bounds how long somebody who pressed the tab key waits for the hub, and completeMost how much they get.
const (
	completeWithin = 3 * time.Second
	completeMost   = 200
)

// complete gives every command of the tree its completions: arguments by their names in Use, flags by theirs.
func complete(c *cli, cmd *cobra.Command) {
	if tokens := strings.Fields(cmd.Use); len(tokens) > 1 && cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = c.argumentsOf(cmd, tokens[1:])
	}
	for name, values := range enums(cmd) {
		if cmd.Flags().Lookup(name) != nil || cmd.PersistentFlags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // it fails only for a second one
		}
	}
	if cmd.Flags().Lookup("product") != nil {
		_ = cmd.RegisterFlagCompletionFunc("product", func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
			return c.names(cmd.Context(), begun, "productSN", "name", listProducts), cobra.ShellCompDirectiveNoFileComp
		})
	}
	for _, sub := range cmd.Commands() {
		complete(c, sub)
	}
}

// enums are the values of flags that have only some.
func enums(cmd *cobra.Command) map[string][]string {
	states := []string{"inactive", "online", "offline", "disabled"}
	kinds := []string{"device", "gateway", "subdevice"}
	if group := cmd.Parent(); group != nil && group.Name() == "job" {
		states, kinds = []string{"queued", "running", "done", "failed", "cancelled"}, []string{"device-import", "device-bulk"}
	}
	return map[string][]string{
		"output": outputs, "state": states, "kind": kinds,
		"sort": {"created", "name", "sn", "lastSeen", "-created", "-name", "-sn", "-lastSeen"},
		"role": {"owner", "admin", "operator", "engineer", "viewer"},
		"qos":  {"0", "1"},
		"type": {"message", "presence", "shadow", "property", "event", "command", "rule"},
	}
}

// lister asks for a page of what may be completed, given the arguments before it.
type lister func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error)

var most = completeMost

func listProducts(ctx context.Context, client *apiclient.Client, _ []string) (*http.Response, error) {
	return client.ListProducts(ctx, &apitype.ListProductsParams{Limit: &most})
}

func listDevices(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
	return client.ListDevices(ctx, args[0], &apitype.ListDevicesParams{Limit: &most})
}

func listJobs(ctx context.Context, client *apiclient.Client, _ []string) (*http.Response, error) {
	return client.ListJobs(ctx, &apitype.ListJobsParams{Limit: &most})
}

func listGroups(ctx context.Context, client *apiclient.Client, _ []string) (*http.Response, error) {
	return client.ListGroups(ctx, &apitype.ListGroupsParams{Limit: &most})
}

func listRules(ctx context.Context, client *apiclient.Client, _ []string) (*http.Response, error) {
	return client.ListRules(ctx, &apitype.ListRulesParams{Limit: &most})
}

// argumentsOf completes the arguments that tokens name.
func (c *cli) argumentsOf(cmd *cobra.Command, tokens []string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if len(args) >= len(tokens) {
			return nil, none
		}
		token := strings.Trim(tokens[len(args)], "[]")
		switch {
		case token == "P":
			return c.names(cmd.Context(), begun, "productSN", "name", listProducts), none
		case token == "D" && len(args) == 1:
			return c.names(cmd.Context(), begun, "deviceSN", "name", func(ctx context.Context, client *apiclient.Client, _ []string) (*http.Response, error) {
				return listDevices(ctx, client, args)
			}), none
		case token == "JOB":
			return c.names(cmd.Context(), begun, "id", "kind", listJobs), none
		case token == "ID" && cmd.Parent().Name() == "rule":
			return c.names(cmd.Context(), begun, "id", "name", listRules), none
		case token == "NAME" && cmd.Parent().Name() == "group" && cmd.Name() != "create":
			return c.names(cmd.Context(), begun, "name", "description", listGroups), none
		case token == "ACTION":
			return []string{"enable", "disable", "reset", "reset-secret", "delete", "tag", "add-to-group", "remove-from-group"}, none
		case strings.HasPrefix(token, "FILE"):
			return nil, cobra.ShellCompDirectiveDefault
		}
		return nil, none
	}
}

// names asks the hub; without an answer there is nothing to choose from.
func (c *cli) names(ctx context.Context, begun, member, about string, list lister) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	if c.checkFlags() != nil {
		return nil
	}
	b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return list(ctx, client, nil)
	})
	if err != nil {
		return nil
	}
	var page struct{ Items []map[string]json.RawMessage }
	if json.Unmarshal(b, &page) != nil {
		return nil
	}
	var out []string
	for _, item := range page.Items {
		var name, text string
		_ = json.Unmarshal(item[member], &name) // what is no string is not offered
		_ = json.Unmarshal(item[about], &text)
		if name == "" || !strings.HasPrefix(name, begun) {
			continue
		}
		if text = strings.Join(strings.Fields(text), " "); text != "" {
			name += "\t" + text
		}
		out = append(out, name)
	}
	return out
}
