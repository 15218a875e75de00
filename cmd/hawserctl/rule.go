package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newRule(c *cli) *cobra.Command {
	return group("rule", "Rules: create, list, get, enable, disable, delete, stats", `  hawserctl rule create hot --sql "SELECT deviceSN(), t FROM '/70ly1tvowt696r15/+/upload' WHERE t > 30" --http https://example.com/hook --enable
  hawserctl rule stats 4`,
		newRuleCreate(c), newRuleList(c),
		ruleCall(c, "get", "Get a rule", func(ctx context.Context, client *apiclient.Client, id string) (*http.Response, error) {
			return client.GetRule(ctx, id)
		}),
		ruleCall(c, "enable", "Switch a rule on", func(ctx context.Context, client *apiclient.Client, id string) (*http.Response, error) {
			return client.EnableRule(ctx, id)
		}),
		ruleCall(c, "disable", "Switch a rule off", func(ctx context.Context, client *apiclient.Client, id string) (*http.Response, error) {
			return client.DisableRule(ctx, id)
		}),
		ruleCall(c, "delete", "Delete a rule", func(ctx context.Context, client *apiclient.Client, id string) (*http.Response, error) {
			return client.DeleteRule(ctx, id)
		}),
		ruleCall(c, "stats", "Get a rule's counters", func(ctx context.Context, client *apiclient.Client, id string) (*http.Response, error) {
			return client.GetRuleStats(ctx, id)
		}))
}

// ruleCall is a command with a rule's id as its only argument.
func ruleCall(c *cli, verb, short string, call func(ctx context.Context, client *apiclient.Client, id string) (*http.Response, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " ID",
		Short:   short,
		Example: "  hawserctl rule " + verb + " 4",
		Args:    exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return call(ctx, client, args[0])
			})
		},
	}
}

// actionFlags are the ways to name a rule's actions.
type actionFlags struct {
	https, headers, republish, others []string
	qos                               int
}

func newRuleCreate(c *cli) *cobra.Command {
	var body apitype.NewRule
	var actions actionFlags
	cmd := &cobra.Command{
		Use:   "create NAME --sql SQL",
		Short: "Create a rule",
		Long: `Create a rule: SQL over messages, with actions on each result. --sql @FILE reads
the SQL from a file, --sql @- from standard input. --http, --republish and
--action may be repeated, together at most 10.`,
		Example: `  hawserctl rule create hot --sql "SELECT deviceSN(), t FROM '/70ly1tvowt696r15/+/upload' WHERE t > 30" \
      --http https://example.com/hook --header "Authorization=Bearer x" --enable
  hawserctl rule create relay --sql @relay.sql --republish /70ly1tvowt696r15/siren-1/set --qos 1
  hawserctl rule create hot --sql @hot.sql --action '{"kind":"http","url":"https://example.com/hook"}'`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body.Name = args[0]
			if err := c.fillRule(&body, actions); err != nil {
				return err
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CreateRule(ctx, body)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&body.SQL, "sql", "", "SELECT … FROM … WHERE …, or @FILE (required)")
	f.StringVar(&body.Description, "description", "", "description")
	f.BoolVar(&body.Enabled, "enable", false, "switch it on at once")
	f.StringArrayVar(&actions.https, "http", nil, "POST each result to this URL")
	f.StringArrayVar(&actions.headers, "header", nil, "NAME=VALUE, a header of the --http requests")
	f.StringArrayVar(&actions.republish, "republish", nil, "publish each result to this topic")
	f.IntVar(&actions.qos, "qos", 0, "QoS of --republish")
	f.StringArrayVar(&actions.others, "action", nil, "an action as JSON")
	return cmd
}

func (c *cli) fillRule(body *apitype.NewRule, a actionFlags) error {
	if body.SQL == "" {
		return usageError{errors.New("--sql is missing")}
	}
	if file, ok := strings.CutPrefix(body.SQL, "@"); ok {
		b, err := c.readFile(file)
		if err != nil {
			return err
		}
		body.SQL = strings.TrimSpace(string(b))
	}
	headers := map[string]string{}
	for _, h := range a.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			return usageError{fmt.Errorf("--header %q: is not NAME=VALUE", h)}
		}
		headers[name] = value
	}
	for _, url := range a.https {
		body.Actions = append(body.Actions, action(map[string]any{"kind": "http", "url": url, "headers": headers}))
	}
	for _, topic := range a.republish {
		body.Actions = append(body.Actions, action(map[string]any{"kind": "republish", "topic": topic, "qos": a.qos}))
	}
	for _, text := range a.others {
		object, err := checkObject([]byte(text))
		if err != nil {
			return usageError{fmt.Errorf("--action %q: %w", text, err)}
		}
		body.Actions = append(body.Actions, object)
	}
	return nil
}

func action(members map[string]any) apitype.RuleAction {
	b, _ := json.Marshal(members) // strings and numbers always encode
	return b
}

func newRuleList(c *cli) *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List rules",
		Example: "  hawserctl rule list\n  hawserctl rule list -o json",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListRules(ctx, &apitype.ListRulesParams{Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "id", "name", "enabled", "sql")
		},
	}
	limitFlag(cmd, &most)
	return cmd
}
