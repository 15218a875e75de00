package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newConnector(c *cli) *cobra.Command {
	return group("connector", "Connectors: where rules deliver to: create, list, get, uses, update, delete, test",
		`  hawserctl connector create plant --kind mysql --set host=db.example --set database=plant --set user=hawser --secret password=@db.password
  hawserctl connector test 4`,
		newConnectorCreate(c), newConnectorList(c), newConnectorUpdate(c), newConnectorTest(c),
		simple(c, "get ID", "Get a connector, without its secrets", "hawserctl connector get 4",
			func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
				return client.GetConnector(ctx, args[0])
			}),
		listing(c, "uses ID", "List the actions of rules that deliver through a connector", "hawserctl connector uses 4",
			[]string{"ruleID", "ruleName", "enabled", "kind", "role", "actionID"}, func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
				return client.ListConnectorUses(ctx, args[0])
			}),
		simple(c, "delete ID", "Delete a connector that no rule uses", "hawserctl connector delete 4",
			func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
				return client.DeleteConnector(ctx, args[0])
			}))
}

// settings are the flags that say what a connector's configuration is.
type settings struct {
	file                string
	set, secrets, unset []string
}

const settingsHelp = `--set NAME=VALUE gives a member of the configuration; a VALUE that is JSON is taken as
such, @FILE is what a file holds. --secret NAME=@FILE reads a secret from a file,
without the newline at its end, --secret NAME=- from standard input; it is not on the
command line, where others can see it. --config FILE reads all of the configuration
as JSON, before the other flags change it. docs/connectors.md has the members of
each kind.`

func (s *settings) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.file, "config", "", "JSON of the configuration, - for standard input")
	f.StringArrayVar(&s.set, "set", nil, "NAME=VALUE, a member of the configuration")
	f.StringArrayVar(&s.secrets, "secret", nil, "NAME=@FILE or NAME=-, a secret member")
}

// given tells whether any of the flags is.
func (s *settings) given() bool {
	return s.file != "" || len(s.set)+len(s.secrets)+len(s.unset) > 0
}

// apply makes config, which may be nil, what the flags want it to be.
func (s *settings) apply(c *cli, config map[string]json.RawMessage) (json.RawMessage, error) {
	config = maps.Clone(config)
	if s.file != "" {
		b, err := c.readFile(s.file)
		if err != nil {
			return nil, err
		}
		config = nil
		if err := json.Unmarshal(b, &config); err != nil {
			return nil, usageError{fmt.Errorf("--config %s: %w", s.file, err)}
		}
	}
	if config == nil {
		config = map[string]json.RawMessage{}
	}
	for _, name := range s.unset {
		config[name] = json.RawMessage(`null`)
	}
	for _, text := range s.set {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Errorf("--set %q: is not NAME=VALUE", text)}
		}
		raw, err := c.member(value)
		if err != nil {
			return nil, err
		}
		config[name] = raw
	}
	for _, text := range s.secrets {
		name, from, ok := strings.Cut(text, "=")
		file, isFile := strings.CutPrefix(from, "@")
		if !ok || name == "" || !isFile && from != "-" {
			return nil, usageError{fmt.Errorf("--secret %s: must be NAME=@FILE or NAME=-", name)} // not what may be a secret
		}
		b, err := c.readFile(file)
		if err != nil {
			return nil, err
		}
		config[name] = quote(strings.TrimRight(string(b), "\r\n"))
	}
	return json.Marshal(config)
}

// member is the value of --set: JSON, a file's text, or text.
func (c *cli) member(value string) (json.RawMessage, error) {
	if file, ok := strings.CutPrefix(value, "@"); ok {
		b, err := c.readFile(file)
		return quote(string(b)), err
	}
	if json.Valid([]byte(value)) {
		return json.RawMessage(value), nil
	}
	return quote(value), nil
}

func newConnectorCreate(c *cli) *cobra.Command {
	var body apitype.NewConnector
	var s settings
	cmd := &cobra.Command{
		Use:   "create NAME --kind KIND",
		Short: "Create a connector",
		Long: `Create a connector: the address of a target and who the hub is to it, for the actions
of rules. It is not connected to before something is delivered; connector test does.

` + settingsHelp,
		Example: `  hawserctl connector create plant --kind mysql --set host=db.example --set database=plant --set user=hawser --secret password=@db.password
  pass show plant | hawserctl connector create plant --kind postgres --config plant.json --secret password=-`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if body.Kind == "" {
				return usageError{errors.New("--kind is missing")}
			}
			body.Name = args[0]
			if body.Config, err = s.apply(c, nil); err != nil {
				return err
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CreateConnector(ctx, body)
			})
		},
	}
	cmd.Flags().StringVar(&body.Kind, "kind", "", "what kind of target it is, as docs/connectors.md has them (required)")
	cmd.Flags().StringVar(&body.Description, "description", "", "description")
	s.add(cmd)
	return cmd
}

func newConnectorList(c *cli) *cobra.Command {
	var most int
	var ch choice
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List connectors and how they are doing",
		Example: "  hawserctl connector list\n  hawserctl connector list -o json\n  hawserctl connector list --filter 'kind:mysql used:no' --sort name",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, sort := ch.parts()
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListConnectors(ctx, &apitype.ListConnectorsParams{Filter: filter, Sort: sort, Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "id", "name", "kind", "status.state", "status.lastError")
		},
	}
	ch.add(cmd, "name, kind, used (yes, no), description, updated",
		"name, kind, updated")
	limitFlag(cmd, &most)
	return cmd
}

func newConnectorUpdate(c *cli) *cobra.Command {
	var name, description string
	var s settings
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change what the flags name of a connector, in use or not",
		Long: `Change a connector. What no flag names stays, secrets too; --unset NAME takes a member
away. What is delivered from now on goes where it says now.

` + settingsHelp + `

When somebody changes the connector meanwhile nothing is changed and the exit code is 6.`,
		Example: `  hawserctl connector update 4 --set host=other.example
  hawserctl connector update 4 --secret password=@new.password
  hawserctl connector update 4 --set tls=true --set ca=@ca.pem --unset serverName`,
		Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			now, config, err := c.connector(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			body := apitype.ConnectorChange{Name: now.Name, Description: now.Description}
			if cmd.Flags().Changed("name") {
				body.Name = name
			}
			if cmd.Flags().Changed("description") {
				body.Description = description
			}
			if body.Config, err = s.apply(c, config); err != nil {
				return err
			}
			c.holdTo(now.Revision)
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UpdateConnector(ctx, args[0], body)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "name")
	f.StringVar(&description, "description", "", "description")
	f.StringArrayVar(&s.unset, "unset", nil, "member of the configuration to take away")
	s.add(cmd)
	return cmd
}

// connector reads a connector and the members of its configuration.
func (c *cli) connector(ctx context.Context, id string) (now apitype.Connector, config map[string]json.RawMessage, err error) {
	b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.GetConnector(ctx, id)
	})
	if err != nil {
		return now, nil, err
	}
	if err = json.Unmarshal(b, &now); err == nil {
		err = json.Unmarshal(now.Config, &config)
	}
	if err != nil {
		return now, nil, fmt.Errorf("read the hub's connector: %w", err)
	}
	return now, config, nil
}

func newConnectorTest(c *cli) *cobra.Command {
	var kind string
	var s settings
	cmd := &cobra.Command{
		Use:   "test [ID]",
		Short: "Go to the target of a connector and back, saving nothing",
		Long: `Go to the target of a connector and back: of a stored one, of what the flags would make
of it, or, without ID, of one that is not stored. The exit code is 9 when the target
does not answer, or takes address or credentials for wrong.

` + settingsHelp,
		Example: `  hawserctl connector test 4
  hawserctl connector test 4 --secret password=@new.password
  hawserctl connector test --kind mysql --set host=db.example --set database=plant --set user=hawser --secret password=@db.password`,
		Args: rangeArgs(0, 1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			call, err := c.trial(cmd.Context(), args, kind, &s)
			if err != nil {
				return err
			}
			b, err := c.do(cmd.Context(), call)
			if err != nil {
				return err
			}
			var result apitype.ConnectorTest
			if err := errors.Join(c.printOne(b), json.Unmarshal(b, &result)); err != nil {
				return err
			}
			if !result.Ok {
				return errTarget
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "", "kind of a connector that is not stored")
	cmd.Flags().StringArrayVar(&s.unset, "unset", nil, "member of the configuration to leave out")
	s.add(cmd)
	return cmd
}

// trial is the request of connector test.
func (c *cli) trial(ctx context.Context, args []string, kind string, s *settings) (request, error) {
	if len(args) == 0 {
		if kind == "" {
			return nil, usageError{errors.New("ID or --kind is missing")}
		}
		config, err := s.apply(c, nil)
		return func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return client.TestConnector(ctx, apitype.ConnectorTrial{Kind: kind, Config: config})
		}, err
	}
	if kind != "" {
		return nil, usageError{errors.New("--kind: a stored connector has its own")}
	}
	var body apitype.ConnectorRetrial
	if s.given() {
		_, config, err := c.connector(ctx, args[0])
		if err != nil {
			return nil, err
		}
		if body.Config, err = s.apply(c, config); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.TestStoredConnector(ctx, args[0], body)
	}, nil
}
