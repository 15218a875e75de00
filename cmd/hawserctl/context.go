package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newContext(c *cli) *cobra.Command {
	cmd := group("context", "Hubs that you work with: list, use, add, remove, show", `  hawserctl context add prod --hub https://hub.example:8443 --ca hub-ca.pem
  hawserctl context use prod
  hawserctl context list`, newContextList(c), newContextUse(c), newContextAdd(c), newContextRemove(c), newContextShow(c))
	cmd.Long = `A context is a hub under a name, with its CA, a project and a session or an API
key. They are in HAWSERCTL_CONFIG, or hawser/config.yaml in your folder for
such, which only you can read. Flags and environment variables win over the
context; what is known of one hub is never sent to another.`
	return cmd
}

func newContextList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List contexts; the current one is marked",
		Example: "  hawserctl context list",
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			var items []json.RawMessage
			for _, name := range slices.Sorted(maps.Keys(c.config.Contexts)) {
				item, err := contextObject(name, c.config)
				if err != nil {
					return err
				}
				items = append(items, item)
			}
			return c.printList(items, "current", "name", "hub", "project", "login", "access")
		},
	}
}

// contextObject is a context without its secret.
func contextObject(name string, conf *config) (json.RawMessage, error) {
	p := conf.Contexts[name]
	out := struct {
		Current  string `json:"current"`
		Name     string `json:"name"`
		Hub      string `json:"hub"`
		CA       string `json:"ca,omitempty"`
		Insecure bool   `json:"insecure,omitempty"`
		Project  string `json:"project,omitempty"`
		Login    string `json:"login,omitempty"`
		Access   string `json:"access"`
	}{"", name, p.Hub, p.CA, p.Insecure, p.Project, p.Login, "none"}
	if name == conf.Current {
		out.Current = "*"
	}
	switch {
	case strings.HasPrefix(p.Token, "hws_"):
		out.Access = "session"
	case p.Token != "":
		out.Access = keyName(p.Token)
	}
	return json.Marshal(out)
}

// known is an error for a context that is not there.
func (c *cli) known(name string) error {
	if _, ok := c.config.Contexts[name]; !ok {
		return usageError{fmt.Errorf("there is no context %q; hawserctl context list shows them", name)}
	}
	return nil
}

func newContextUse(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "use NAME",
		Short:   "Work with another hub from now on",
		Example: "  hawserctl context use prod",
		Args:    exactArgs("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := c.known(args[0]); err != nil {
				return err
			}
			c.config.Current = args[0]
			return c.config.write()
		},
	}
}

func newContextAdd(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "add NAME",
		Short: "Add or change a context, from --hub, --ca, --insecure, --project and --api-key",
		Example: `  hawserctl context add prod --hub https://hub.example:8443 --ca hub-ca.pem --project farm
  hawserctl context add ci --hub https://hub.example --api-key hwk_…`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if !contextName.MatchString(name) {
				return usageError{fmt.Errorf("%q: must have 1 to 64 letters, digits and . _ : @ -", name)}
			}
			p := c.config.Contexts[name]
			given := func(flag string) bool { return cmd.Flags().Changed(flag) }
			switch {
			case given("hub") && c.hub != p.Hub:
				p = place{Hub: c.hub} // another hub: nothing of the old one is of use
			case p.Hub == "":
				p.Hub = c.hub
			}
			if given("ca") {
				p.CA = c.ca
			}
			if given("insecure") {
				p.Insecure = c.insecure
			}
			if given("project") {
				p.Project = c.project
			}
			if given("api-key") {
				p.Token, p.Login = c.apiKey, ""
			}
			return c.keep(name, p)
		},
	}
}

// keep stores a context; the first one is the current one.
func (c *cli) keep(name string, p place) error {
	c.config.Contexts[name] = p
	if c.config.Current == "" {
		c.config.Current = name
	}
	return c.config.write()
}

func newContextRemove(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Forget a context; its session goes on until it is logged out or ends",
		Example: "  hawserctl context remove prod",
		Args:    exactArgs("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := c.known(args[0]); err != nil {
				return err
			}
			delete(c.config.Contexts, args[0])
			if c.config.Current == args[0] {
				c.config.Current = ""
			}
			return c.config.write()
		},
	}
}

func newContextShow(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "show [NAME]",
		Short:   "Show a context, the current one without NAME; its secret is not shown",
		Example: "  hawserctl context show",
		Args:    rangeArgs(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := c.config.Current
			if len(args) > 0 {
				name = args[0]
			}
			if err := c.known(name); err != nil {
				return err
			}
			b, err := contextObject(name, c.config)
			if err != nil {
				return err
			}
			return c.printOne(b)
		},
	}
}
