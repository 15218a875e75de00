package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newRuleDead(c *cli) *cobra.Command {
	return group("dead", "What rules' actions have given up: list, get, replay, purge", `  hawserctl rule dead list --rule 4 --since 24h
  hawserctl rule dead replay --rule 4`,
		newDeadList(c), newDeadReplay(c), newDeadPurge(c),
		&cobra.Command{
			Use:     "get ID",
			Short:   "Get a dead letter: the record, why it was given up, and the message it was made of",
			Example: "  hawserctl rule dead get 1574647125789118464 -o json",
			Args:    exactArgs("ID"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
					return client.GetDeadLetter(ctx, args[0])
				})
			},
		})
}

// deadFilter is the flags that choose dead letters.
type deadFilter struct {
	rule, action, device string
	when                 span
	all                  bool
}

func (d *deadFilter) flags(cmd *cobra.Command, wide bool) {
	f := cmd.Flags()
	f.StringVar(&d.rule, "rule", "", "only those of this rule (ID)")
	f.StringVar(&d.action, "action", "", "only those of this action (ID)")
	f.StringVar(&d.device, "device", "", "only those of a device (P/D), or of a product's devices (P)")
	d.when.flags(cmd)
	if wide {
		f.BoolVar(&d.all, "all", false, "really all of the project")
	}
}

// narrow is an error when nothing narrows what a command is about to do and --all was not said.
func (d *deadFilter) narrow(f *pflag.FlagSet) error {
	for _, name := range []string{"rule", "action", "device", "since", "until"} {
		if f.Changed(name) {
			return nil
		}
	}
	if d.all {
		return nil
	}
	return usageError{errors.New("these are all dead letters of the project: narrow them with --rule, --action, --device, --since or --until, or say --all")}
}

// body is the filter as a request's body has it.
func (d *deadFilter) body() (b apitype.DeadLetterFilter, err error) {
	since, until, err := d.when.bounds()
	if err != nil {
		return b, err
	}
	b.RuleID, b.ActionID = d.rule, d.action
	b.ProductSN, b.DeviceSN, _ = strings.Cut(d.device, "/")
	if since != nil {
		b.Since = *since
	}
	if until != nil {
		b.Until = *until
	}
	return b, nil
}

func newDeadList(c *cli) *cobra.Command {
	var most int
	var d deadFilter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, oldest first",
		Example: `  hawserctl rule dead list --rule 4 --since 24h
  hawserctl rule dead list --device 70ly1tvowt696r15/cellar-1 -o json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := d.body()
			if err != nil {
				return err
			}
			p := &apitype.ListDeadLettersParams{RuleID: some(b.RuleID), ActionID: some(b.ActionID), ProductSN: some(b.ProductSN), DeviceSN: some(b.DeviceSN),
				Since: some(b.Since), Until: some(b.Until)}
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				p.Limit, p.Cursor = limit, cursor
				return client.ListDeadLetters(ctx, p)
			})
			if err != nil {
				return err
			}
			return c.printList(items, "id", "failedAt", "ruleName", "actionID", "actionKind", "productSN", "deviceSN", "attempts")
		},
	}
	limitFlag(cmd, &most)
	d.flags(cmd, false)
	return cmd
}

// some is nil for nothing.
func some[T comparable](v T) *T {
	var nothing T
	if v == nothing {
		return nil
	}
	return &v
}

func newDeadReplay(c *cli) *cobra.Command {
	var noWait, evaluate bool
	var result string
	var d deadFilter
	cmd := &cobra.Command{
		Use:   "replay [ID]",
		Short: "Have dead letters delivered again",
		Long: `Have one dead letter delivered again, or those that the flags choose, as a job. They go
back into their action's queue, oldest first, each with the key that it had: a
target that uses keys does not take twice what it has. One that fails again is a
dead letter again. See hawserctl help jobs.

With --evaluate the rule as it is now looks at the letter's message again, and
what it makes of it is delivered: the message log must still have all of it.`,
		Example: `  hawserctl rule dead replay 1574647125789118464
  hawserctl rule dead replay 1574647125789118464 --evaluate
  hawserctl rule dead replay --rule 4 --since 24h`,
		Args: rangeArgs(0, 1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
					return client.ReplayDeadLetter(ctx, args[0], &apitype.ReplayDeadLetterParams{Evaluate: evaluate})
				})
			}
			if evaluate {
				return usageError{errors.New("--evaluate is for one dead letter: name its ID")}
			}
			if err := d.narrow(cmd.Flags()); err != nil {
				return err
			}
			b, err := d.body()
			if err != nil {
				return err
			}
			return c.runJob(cmd.Context(), noWait, result, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.ReplayDeadLetters(ctx, b)
			})
		},
	}
	cmd.Flags().BoolVar(&evaluate, "evaluate", false, "deliver what the rule, as it is now, makes of the letter's message")
	jobFlags(cmd, &noWait, &result)
	d.flags(cmd, true)
	return cmd
}

func newDeadPurge(c *cli) *cobra.Command {
	var d deadFilter
	cmd := &cobra.Command{
		Use:   "purge [ID]",
		Short: "Delete one dead letter, or those that the flags choose, for good",
		Example: `  hawserctl rule dead purge 1574647125789118464
  hawserctl rule dead purge --rule 4 --until 720h
  hawserctl rule dead purge --all`,
		Args: rangeArgs(0, 1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
					return client.DeleteDeadLetter(ctx, args[0])
				})
			}
			if err := d.narrow(cmd.Flags()); err != nil {
				return err
			}
			b, err := d.body()
			if err != nil {
				return err
			}
			if d.all && b.Until.IsZero() {
				b.Until = time.Now().Add(time.Hour).UTC() // the hub wants to be told that all are meant
			}
			p := &apitype.PurgeDeadLettersParams{RuleID: some(b.RuleID), ActionID: some(b.ActionID), ProductSN: some(b.ProductSN), DeviceSN: some(b.DeviceSN),
				Since: some(b.Since), Until: some(b.Until)}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.PurgeDeadLetters(ctx, p)
			})
		},
	}
	d.flags(cmd, true)
	return cmd
}
