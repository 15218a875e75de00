package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// ruleChange is what the flags of rule update say.
type ruleChange struct {
	file, name, description, sql, dataType string
	dialect                                int
	enabled                                bool
	actions                                actionFlags
	gone                                   []string
}

func newRuleUpdate(c *cli) *cobra.Command {
	var v ruleChange
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change what the flags name of a rule, running or not",
		Long: `Change a rule. What no flag names stays; with --file the rule becomes what the file
says, which is JSON as rule get -o json prints it (- for standard input), before
the other flags change it.

--http, --republish and --action add actions, together at most 10. An --action
with the "id" of one that is there takes its place and keeps what waits for it.
--remove-action ID takes one away, with what waits for it.

When somebody changes the rule meanwhile nothing is changed and the exit code is 6.`,
		Example: `  hawserctl rule update 4 --sql @hotter.sql --name hotter
  hawserctl rule update 4 --http https://example.com/other --remove-action 7
  hawserctl rule update 4 --action '{"id":"7","kind":"http","url":"https://example.com/hook","batchSize":10}'
  hawserctl rule get 4 -o json > rule.json; hawserctl rule update 4 --file rule.json --if-match 3`,
		Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.updateRule(cmd, args[0], &v)
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.file, "file", "", "JSON of the whole rule, - for standard input")
	f.StringVar(&v.name, "name", "", "name")
	f.StringVar(&v.description, "description", "", "description")
	f.StringVar(&v.sql, "sql", "", "SELECT … FROM … WHERE …, or @FILE")
	f.StringVar(&v.dataType, "data-type", "", "what the messages are: json or binary")
	f.IntVar(&v.dialect, "dialect", 0, "of the SQL: 1 as rules elsewhere are written, 2 ours")
	f.BoolVar(&v.enabled, "enabled", false, "switch it on; =false switches it off")
	v.actions.add(cmd)
	f.StringArrayVar(&v.gone, "remove-action", nil, "id of an action to take away")
	return cmd
}

// updateRule reads the rule, changes it and replaces it, held to the revision that was read.
func (c *cli) updateRule(cmd *cobra.Command, id string, v *ruleChange) error {
	b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.GetRule(ctx, id)
	})
	if err != nil {
		return err
	}
	var now apitype.Rule
	if err := json.Unmarshal(b, &now); err != nil {
		return fmt.Errorf("read the hub's rule: %w", err)
	}
	body := apitype.NewRule{Name: now.Name, Description: now.Description, SQL: now.SQL, DataType: now.DataType, Dialect: now.Dialect, Enabled: now.Enabled,
		Actions: now.Actions, ErrorAction: now.ErrorAction}
	if err := c.applyToRule(cmd, &body, v); err != nil {
		return err
	}
	c.holdTo(now.Revision)
	return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.UpdateRule(ctx, id, body)
	})
}

// applyToRule puts what the flags name into body.
func (c *cli) applyToRule(cmd *cobra.Command, body *apitype.NewRule, v *ruleChange) error {
	if v.file != "" {
		b, err := c.readFile(v.file)
		if err != nil {
			return err
		}
		*body = apitype.NewRule{}
		if err := json.Unmarshal(b, body); err != nil {
			return usageError{fmt.Errorf("--file %s: %w", v.file, err)}
		}
	}
	set := func(flag string, field *string, value string) {
		if cmd.Flags().Changed(flag) {
			*field = value
		}
	}
	sql, err := c.ruleSQL(v.sql)
	if err != nil {
		return err
	}
	set("name", &body.Name, v.name)
	set("description", &body.Description, v.description)
	set("sql", &body.SQL, sql)
	set("data-type", (*string)(&body.DataType), v.dataType)
	if cmd.Flags().Changed("dialect") {
		body.Dialect = apitype.RuleDialect(v.dialect)
	}
	if cmd.Flags().Changed("enabled") {
		body.Enabled = v.enabled
	}
	if cmd.Flags().Changed("error-action") {
		if body.ErrorAction, err = v.actions.errorAction(); err != nil {
			return err
		}
	}
	for _, id := range v.gone {
		i := actionAt(body.Actions, id)
		if i < 0 {
			return usageError{fmt.Errorf("--remove-action %s: the rule has no such action; rule get shows those that it has", id)}
		}
		body.Actions = slices.Delete(body.Actions, i, i+1)
	}
	more, err := v.actions.actions()
	if err != nil {
		return err
	}
	for _, a := range more {
		if i := actionAt(body.Actions, rawID(a)); i >= 0 {
			body.Actions[i] = a
		} else {
			body.Actions = append(body.Actions, a)
		}
	}
	return nil
}

// actionAt is where the action with that id is; -1 when there is none.
func actionAt(list []apitype.RuleAction, id string) int {
	return slices.IndexFunc(list, func(a apitype.RuleAction) bool { return id != "" && rawID(a) == id })
}
