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
	return group("rule", "Rules: create, try, list, get, update, enable, disable, delete, stats, dead", `  hawserctl rule create hot --sql "SELECT deviceSN(), t FROM '/70ly1tvowt696r15/+/upload' WHERE t > 30" --http https://example.com/hook --enable
  hawserctl rule try 4 --topic /70ly1tvowt696r15/cellar-1/upload --payload '{"t":31}'
  hawserctl rule stats 4`,
		newRuleCreate(c), newRuleList(c), newRuleUpdate(c), newRuleTry(c), newRuleDead(c),
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
		newRuleStats(c))
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
	onError                           string
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
--action may be repeated, together at most 10. An --action may say how its results
are delivered ("batch", "whenFull", "maxBytes", "maxAttempts", "expiresSeconds") and
where they go when it gives them up ("fallback").`,
		Example: `  hawserctl rule create hot --sql "SELECT deviceSN(), t FROM '/70ly1tvowt696r15/+/upload' WHERE t > 30" \
      --http https://example.com/hook --header "Authorization=Bearer x" --enable
  hawserctl rule create relay --sql @relay.sql --republish /70ly1tvowt696r15/siren-1/set --qos 1
  hawserctl rule create raw --data-type binary --sql "SELECT * FROM '/70ly1tvowt696r15/+/raw'" --http https://example.com/raw
  hawserctl rule create hot --sql @hot.sql --action '{"kind":"http","url":"https://example.com/hook","whenFull":"block"}'`,
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
	f.StringVar((*string)(&body.DataType), "data-type", "", "what the messages are: json, or binary, whose bytes pass through")
	f.IntVar((*int)(&body.Dialect), "dialect", 0, "of the SQL: 1 as rules elsewhere are written, 2 ours (the default)")
	f.BoolVar(&body.Enabled, "enable", false, "switch it on at once")
	actions.add(cmd)
	return cmd
}

// add gives cmd the flags.
func (a *actionFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&a.https, "http", nil, "POST each result to this URL")
	f.StringArrayVar(&a.headers, "header", nil, "NAME=VALUE, a header of the --http requests")
	f.StringArrayVar(&a.republish, "republish", nil, "publish each result to this topic")
	f.IntVar(&a.qos, "qos", 0, "QoS of --republish")
	f.StringArrayVar(&a.others, "action", nil, "an action as JSON")
	f.StringVar(&a.onError, "error-action", "", "an action, as JSON, that is told of what the others give up; null for none")
}

func (c *cli) fillRule(body *apitype.NewRule, a actionFlags) error {
	if body.SQL == "" {
		return usageError{errors.New("--sql is missing")}
	}
	var err error
	if body.SQL, err = c.ruleSQL(body.SQL); err != nil {
		return err
	}
	if body.ErrorAction, err = a.errorAction(); err != nil {
		return err
	}
	body.Actions, err = a.actions()
	return err
}

// errorAction is the one that --error-action gives.
func (a *actionFlags) errorAction() (json.RawMessage, error) {
	if a.onError == "" || a.onError == "null" {
		return nil, nil
	}
	object, err := checkObject([]byte(a.onError))
	if err != nil {
		return nil, usageError{fmt.Errorf("--error-action %q: %w", a.onError, err)}
	}
	return object, nil
}

// ruleSQL is what --sql says, or the file that it names with @.
func (c *cli) ruleSQL(text string) (string, error) {
	file, ok := strings.CutPrefix(text, "@")
	if !ok {
		return text, nil
	}
	b, err := c.readFile(file)
	return strings.TrimSpace(string(b)), err
}

// actions are those that the flags name.
func (a *actionFlags) actions() ([]apitype.RuleAction, error) {
	headers := map[string]string{}
	for _, h := range a.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--header %q: is not NAME=VALUE", h)}
		}
		headers[name] = value
	}
	var list []apitype.RuleAction
	for _, url := range a.https {
		list = append(list, action(map[string]any{"kind": "http", "url": url, "headers": headers}))
	}
	for _, topic := range a.republish {
		list = append(list, action(map[string]any{"kind": "republish", "topic": topic, "qos": a.qos}))
	}
	for _, text := range a.others {
		object, err := checkObject([]byte(text))
		if err != nil {
			return nil, usageError{fmt.Errorf("--action %q: %w", text, err)}
		}
		list = append(list, object)
	}
	return list, nil
}

func action(members map[string]any) apitype.RuleAction {
	b, _ := json.Marshal(members) // strings and numbers always encode
	return b
}

func newRuleList(c *cli) *cobra.Command {
	var most int
	var ch choice
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List rules",
		Example: "  hawserctl rule list\n  hawserctl rule list -o json\n  hawserctl rule list --filter 'state:enabled action:kafka' --sort -updated",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, sort := ch.parts()
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListRules(ctx, &apitype.ListRulesParams{Filter: filter, Sort: sort, Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "id", "name", "enabled", "dataType", "dialect", "sql")
		},
	}
	ch.add(cmd, "name, state (enabled, disabled), description, action (its kind), connector (its id), updated",
		"name, state, updated")
	limitFlag(cmd, &most)
	return cmd
}
