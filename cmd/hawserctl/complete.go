package main

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
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
	for name, from := range map[string]*source{"product": products, "project": projects, "group": groups, "context": contexts} {
		if cmd.Flags().Lookup(name) != nil || cmd.PersistentFlags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
				return c.names(cmd.Context(), begun, from, nil), cobra.ShellCompDirectiveNoFileComp
			})
		}
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
		states, kinds = []string{"queued", "running", "done", "failed", "cancelled"}, []string{"device-import", "device-bulk", "device-command", "message", "dead-letter-replay"}
	}
	types := []string{"message", "presence", "shadow", "property", "event", "command", "rule", "ota", "campaign"}
	if group := cmd.Parent(); group != nil && group.Name() == "event" {
		types = []string{"notify", "warning", "error"}
	}
	if group := cmd.Parent(); group != nil && group.Name() == "log" {
		kinds = kindsOfLog
	}
	if group := cmd.Parent(); group != nil && group.Name() == "connector" {
		kinds = []string{"http", "kafka", "mongodb", "mysql", "nats", "postgres", "tsdb"}
	}
	if group := cmd.Parent(); group != nil && group.Name() == "alarm-channel" {
		kinds = channelKinds
	}
	if group := cmd.Parent(); group != nil && group.Name() == "alarm" {
		states = []string{"open", "acknowledged", "cleared"}
	}
	if group := cmd.Parent(); group != nil && group.Name() == "ota" {
		states = []string{"initial", "pending", "downloading", "burning", "succeeded", "failed", "cancelled", "rolled_back"}
	}
	if group := cmd.Parent(); group != nil && group.Name() == "campaign" {
		states = campaignStates
	}
	return map[string][]string{
		"severity": {"critical", "major", "minor", "warning"}, "op": {">", ">=", "<", "<=", "==", "!="},
		"output": outputs, "state": states, "kind": kinds,
		"sort":   {"created", "name", "sn", "lastSeen", "-created", "-name", "-sn", "-lastSeen"},
		"role":   {"owner", "admin", "operator", "engineer", "viewer"},
		"result": resultsOfLog, "message-log": {"off", "errors", "all"},
		"qos": {"0", "1"}, "format": modelFormats, "fn": {"avg", "min", "max", "last", "sum", "count"},
		"type": types, "status": {"queued", "sent", "succeeded", "failed", "expired", "cancelled"},
	}
}

// argumentsOf completes the arguments that tokens name.
func (c *cli) argumentsOf(cmd *cobra.Command, tokens []string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		last := tokens[len(tokens)-1]
		if len(args) >= len(tokens) && !strings.HasSuffix(last, "…") {
			return nil, none
		}
		token := tokens[min(len(args), len(tokens)-1)]
		from := sourceOf(cmd, token)
		switch {
		case from != nil:
			return c.names(cmd.Context(), begun, from, args), none
		case token == "P/D…":
			return c.devicesOfAny(cmd.Context(), begun)
		case token == "ACTION":
			return []string{"enable", "disable", "reset", "reset-secret", "delete", "tag", "add-to-group", "remove-from-group"}, none
		case strings.HasPrefix(token, "FILE"):
			return nil, cobra.ShellCompDirectiveDefault
		}
		return nil, none
	}
}

// devicesOfAny completes P/D: first the product, then its device.
func (c *cli) devicesOfAny(ctx context.Context, begun string) ([]string, cobra.ShellCompDirective) {
	product, device, ok := strings.Cut(begun, "/")
	if !ok {
		list := c.names(ctx, begun, products, nil)
		for i, name := range list {
			sn, about, _ := strings.Cut(name, "\t")
			list[i] = sn + "/\t" + about
		}
		return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	list := c.names(ctx, device, devices, []string{product})
	for i, name := range list {
		list[i] = product + "/" + name
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// names asks the hub; without an answer there is nothing to choose from.
func (c *cli) names(ctx context.Context, begun string, from *source, args []string) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	if c.checkFlags() != nil {
		return nil
	}
	if from == contexts {
		return c.contextsFrom(begun)
	}
	b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return from.list(ctx, c, client, args)
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
		if _, err := strconv.ParseInt(string(item[from.name]), 10, 64); err == nil {
			name = string(item[from.name])
		} else {
			_ = json.Unmarshal(item[from.name], &name) // what is neither string nor number is not offered
		}
		_ = json.Unmarshal(item[from.about], &text)
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

// contextsFrom are the contexts whose names begin so.
func (c *cli) contextsFrom(begun string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.config.Contexts)) {
		if strings.HasPrefix(name, begun) {
			out = append(out, name+"\t"+c.config.Contexts[name].Hub)
		}
	}
	return out
}
