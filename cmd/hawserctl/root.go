package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// defaultHub is where a hub on its defaults listens.
const defaultHub = "http://127.0.0.1:8080"

// cli is what all commands share: the global flags and the streams.
type cli struct {
	hub, apiKey, ca, output string
	insecure                bool
	columns                 []string
	noHeaders               bool
	dryRun                  bool
	ifMatch, idempotencyKey string
	changes                 int // requests that change something so far
	context, project        string

	config     *config // the contexts
	newContext bool    // the context need not be there yet
	anonymous  bool    // the request needs no key

	out, errOut io.Writer
	in          io.Reader
	// columnsOf stands in for the terminal's width in tests.
	columnsOf func() int
}

const rootExample = `  export HAWSER_HUB=https://hub.example:8443 HAWSER_API_KEY=hwk_…
  hawserctl product create thermometer
  hawserctl device create --product 70ly1tvowt696r15 --sn cellar-1
  hawserctl shadow set 70ly1tvowt696r15 cellar-1 target=21.5
  hawserctl watch 70ly1tvowt696r15
  hawserctl device list 70ly1tvowt696r15 -o json
  hawserctl device import 70ly1tvowt696r15 fleet.csv --result fleet-secrets.csv`

const ofItself = "This hub and this program:"

func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "hawserctl",
		Short: "Work a Hawser hub from the shell",
		Long: `hawserctl works a Hawser hub through its API.

The hub and the API key come from --hub and --api-key, from HAWSER_HUB and
HAWSER_API_KEY, or from the context: hawserctl login keeps a session there. See
hawserctl help output, help changes, help environment and help exit-codes.`,
		Example:       rootExample,
		Args:          cobra.ArbitraryArgs,
		RunE:          onlyHolds,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			c.newContext = cmd.Name() == "login" || cmd.Parent() != nil && cmd.Parent().Name() == "context"
			if err := somethingToChange(cmd); err != nil {
				return err
			}
			return c.checkFlags()
		},
	}
	root.SetOut(c.out)
	root.SetErr(c.errOut)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	f := root.PersistentFlags()
	f.StringVar(&c.hub, "hub", "", "base URL of the hub (HAWSER_HUB; default "+defaultHub+")")
	f.StringVar(&c.apiKey, "api-key", "", "API key (HAWSER_API_KEY)")
	f.StringVar(&c.context, "context", "", "context to take hub, project and session from (HAWSER_CONTEXT)")
	f.StringVar(&c.project, "project", "", "project to work in (HAWSER_PROJECT)")
	f.StringVar(&c.ca, "ca", "", "PEM file of the CA that signed the hub's certificate (HAWSER_CA)")
	f.BoolVar(&c.insecure, "insecure", false, "do not verify the hub's certificate")
	f.StringVarP(&c.output, "output", "o", asTable, "output: table, wide, json, yaml or csv")
	f.StringSliceVar(&c.columns, "columns", nil, "members to show in a table or CSV, a.b for a member of a member")
	f.BoolVar(&c.noHeaders, "no-headers", false, "no line with the names of the columns")
	f.BoolVar(&c.dryRun, "dry-run", false, "change nothing: print the request, or have the hub check what it can check")
	f.StringVar(&c.ifMatch, "if-match", "", "change only what still has this ETag or revision")
	f.StringVar(&c.idempotencyKey, "idempotency-key", "", "name for this change: sent again, it is not made twice (see help changes)")
	section(root, "Devices and products:", newProduct(c), newModel(c), newScript(c), newDevice(c), newAgent(c), newGroup(c), newTopo(c), newCA(c), newCert(c), newProvision(c))
	section(root, "What devices say and are told:", newProperty(c), newEvent(c), newCommand(c), newShadow(c), newPublish(c), newMessage(c), newFile(c))
	section(root, "Rules:", newRule(c), newConnector(c))
	section(root, "Firmware:", newFirmware(c), newOTA(c), newCampaign(c))
	section(root, "What goes on:", newOverview(c), newWatch(c), newLog(c), newMetrics(c), newAlarm(c), newAlarmRule(c), newAlarmChannel(c), newJob(c))
	section(root, "People and access:", newLogin(c), newLogout(c), newWhoami(c), newMe(c), newUser(c), newMember(c), newProject(c), newKey(c), newAudit(c))
	section(root, ofItself, newContext(c), newInfo(c), newVersion(c))
	root.SetHelpCommandGroupID(ofItself)
	root.SetCompletionCommandGroupID(ofItself)
	root.AddCommand(topics()...)
	complete(c, root)
	return root
}

// section adds commands below a heading of their own in the help.
func section(root *cobra.Command, title string, cmds ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, cmd := range cmds {
		cmd.GroupID = title
		root.AddCommand(cmd)
	}
}

// somethingToChange holds that an update names what it changes: without, it would only count up a revision.
func somethingToChange(cmd *cobra.Command) error {
	if cmd.Name() != "update" {
		return nil
	}
	named := false
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { named = named || f.Changed })
	if named {
		return nil
	}
	return usageError{fmt.Errorf("nothing to change: name it with a flag; see %s --help", cmd.CommandPath())}
}

func (c *cli) checkFlags() error {
	if !slices.Contains(outputs, c.output) {
		return usageError{fmt.Errorf("--output %q: must be %s", c.output, strings.Join(outputs, ", "))}
	}
	return c.settle()
}

// exactArgs is cobra.ExactArgs with the names of what is missing.
func exactArgs(names ...string) cobra.PositionalArgs {
	return rangeArgs(len(names), len(names), names...)
}

// rangeArgs wants from least to most arguments; most < 0 is any number.
func rangeArgs(least, most int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usageError{fmt.Errorf("%s is missing; usage: %s", names[len(args)], cmd.UseLine())}
		case most >= 0 && len(args) > most:
			return usageError{fmt.Errorf("unexpected %q; usage: %s", args[most], cmd.UseLine())}
		}
		return nil
	}
}

// group is a command that only holds others.
func group(use, short, example string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ArbitraryArgs, RunE: onlyHolds}
	cmd.AddCommand(subs...)
	return cmd
}

// onlyHolds runs a command that has nothing to do itself.
func onlyHolds(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		cmd.SuggestionsMinimumDistance = 2
		meant := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			meant = " (did you mean " + strings.Join(near, " or ") + "?)"
		}
		return usageError{fmt.Errorf("unknown command %q%s; see %s --help", args[0], meant, cmd.CommandPath())}
	}
	return cmd.Help()
}
