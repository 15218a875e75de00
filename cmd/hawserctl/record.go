package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// span is the time that a list is limited to.
type span struct{ since, until string }

func (s *span) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.since, "since", "", "only from then on: 2h, 7d (ago) or 2026-01-31T08:00:00Z")
	cmd.Flags().StringVar(&s.until, "until", "", "only before then, likewise")
}

func (s *span) bounds() (since, until *time.Time, err error) {
	if since, err = moment("--since", s.since); err != nil {
		return nil, nil, err
	}
	until, err = moment("--until", s.until)
	return since, until, err
}

// moment is a time, or how long ago it was; nil for "".
func moment(flag, text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		ago, bad := age(text)
		if bad != nil {
			return nil, usageError{fmt.Errorf("%s %q: is neither a time like 2026-01-31T08:00:00Z nor how long ago, like 90m or 7d", flag, text)}
		}
		t = time.Now().Add(-ago)
	}
	t = t.UTC()
	return &t, nil
}

// age reads a duration that may be in days.
func age(text string) (time.Duration, error) {
	var days float64
	if n, err := fmt.Sscanf(text, "%gd", &days); err == nil && n == 1 && text == fmt.Sprintf("%gd", days) && days >= 0 {
		return time.Duration(days * float64(24*time.Hour)), nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("is negative")
	}
	return d, err
}

func newEvent(c *cli) *cobra.Command {
	list := newEventList(c)
	return group("event", "Events that devices posted: list", list.Example, list)
}

func newEventList(c *cli) *cobra.Command {
	var most int
	var identifier, kind string
	var when span
	cmd := &cobra.Command{
		Use:   "list P [D]",
		Short: "List the events that a device, or all of a product, posted, newest first",
		Example: `  hawserctl event list 70ly1tvowt696r15 cellar-1 --type error
  hawserctl event list 70ly1tvowt696r15 --since 1h
  hawserctl event list 70ly1tvowt696r15 cellar-1 --identifier overheated --since 7d -o csv`,
		Args: rangeArgs(1, 2, "P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := &apitype.ListEventsParams{Identifier: given(cmd.Flags(), "identifier", &identifier),
				Type: (*apitype.EventSeverity)(given(cmd.Flags(), "type", &kind))}
			var err error
			if p.Since, p.Until, err = when.bounds(); err != nil {
				return err
			}
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				p.Limit, p.Cursor = limit, cursor
				if len(args) == 1 {
					all := apitype.ListProductEventsParams(*p)
					return client.ListProductEvents(ctx, args[0], &all)
				}
				return client.ListEvents(ctx, args[0], args[1], p)
			})
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return c.printList(items, "time", "deviceSN", "identifier", "type", "output")
			}
			return c.printList(items, "time", "identifier", "type", "output")
		},
	}
	limitFlag(cmd, &most)
	cmd.Flags().StringVar(&identifier, "identifier", "", "only those of this event")
	cmd.Flags().StringVar(&kind, "type", "", "only notify, warning or error")
	when.flags(cmd)
	return cmd
}

func newCommandList(c *cli) *cobra.Command {
	var most int
	var identifier, status, job string
	var when span
	cmd := &cobra.Command{
		Use:   "list P D",
		Short: "List the calls of a device's commands and what came of them, newest first",
		Example: `  hawserctl command list 70ly1tvowt696r15 cellar-1 --limit 20
  hawserctl command list 70ly1tvowt696r15 cellar-1 --status queued
  hawserctl command list 70ly1tvowt696r15 cellar-1 --identifier dim --since 24h -o json`,
		Args: exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := cmd.Flags()
			p := &apitype.ListCommandsParams{Identifier: given(f, "identifier", &identifier), Job: given(f, "job", &job),
				Status: (*apitype.CommandStatus)(given(f, "status", &status))}
			var err error
			if p.Since, p.Until, err = when.bounds(); err != nil {
				return err
			}
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				p.Limit, p.Cursor = limit, cursor
				return client.ListCommands(ctx, args[0], args[1], p)
			})
			if err != nil {
				return err
			}
			return c.printList(items, "createdAt", "requestID", "identifier", "status", "retCode", "input", "output")
		},
	}
	limitFlag(cmd, &most)
	cmd.Flags().StringVar(&identifier, "identifier", "", "only those of this command")
	cmd.Flags().StringVar(&status, "status", "", "only queued, sent, succeeded, failed, expired or cancelled ones")
	cmd.Flags().StringVar(&job, "job", "", "only those that this job called")
	when.flags(cmd)
	return cmd
}

func newCommandShow(c *cli) *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "show P D REQUEST",
		Short: "Show who called a command and what came of it",
		Example: `  hawserctl command show 70ly1tvowt696r15 cellar-1 1764241234567
  hawserctl command show 70ly1tvowt696r15 cellar-1 1764241234567 --wait 1m`,
		Args: exactArgs("P (productSN)", "D (deviceSN)", "REQUEST (requestID)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			call := func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetCommand(ctx, args[0], args[1], args[2])
			}
			b, err := c.settled(cmd.Context(), call, wait)
			if err != nil {
				return err
			}
			return c.printOne(b)
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait so long for its end")
	return cmd
}

// settled asks for a command until it has ended, or wait is over.
func (c *cli) settled(ctx context.Context, call request, wait time.Duration) (json.RawMessage, error) {
	deadline := time.Now().Add(wait)
	for {
		b, err := c.do(ctx, call)
		if err != nil {
			return nil, err
		}
		var record struct{ Status apitype.CommandStatus }
		if err := json.Unmarshal(b, &record); err != nil {
			return nil, fmt.Errorf("read the hub's answer: %w", err)
		}
		open := record.Status == apitype.CommandStatusQueued || record.Status == apitype.CommandStatusSent
		if !open || time.Now().After(deadline) {
			return b, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func newCommandCancel(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "cancel P D REQUEST",
		Short:   "Take a command back that waits for its device",
		Example: "  hawserctl command cancel 70ly1tvowt696r15 cellar-1 1764241234567",
		Args:    exactArgs("P (productSN)", "D (deviceSN)", "REQUEST (requestID)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CancelCommand(ctx, args[0], args[1], args[2])
			})
		},
	}
}

func newCommandBatch(c *cli) *cobra.Command {
	var noWait bool
	var result, product, state string
	var timeout time.Duration
	var queue string
	var body apitype.CommandBatch
	cmd := &cobra.Command{
		Use:   "batch ID [JSON|KEY=VALUE…|-]",
		Short: "Call a command of every device that a filter takes, as a job",
		Long: `Call a command of every device of the project that a filter takes, as a job; with
--product, of that product. Each device's command waits for it as long as --queue
says. The job ends when all are queued; its result has each requestID, and
hawserctl command list shows what came of them. Without --filter, --state or
--product it is every device of the project, which wants --all. --dry-run says in
the result which devices would refuse it.`,
		Example: `  hawserctl command batch reboot --filter group:north --queue 24h
  hawserctl command batch dim percent=40 --product 70ly1tvowt696r15 --result calls.csv`,
		Args: rangeArgs(1, -1, "ID (the command's identifier)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, _ := cmd.Flags().GetBool("all") // it is there
			switch {
			case noWait && result != "":
				return usageError{errors.New("--no-wait and --result exclude each other: the result is there when the job has ended")}
			case !all && product == "" && state == "" && body.Filter == "":
				return usageError{errors.New("this is every device of the project: narrow it with --filter, --state or --product, or say --all")}
			}
			body.Identifier, body.State, body.TimeoutSeconds = args[0], apitype.DeviceState(state), timeout.Seconds()
			wait, err := age(queue)
			if err != nil {
				return usageError{fmt.Errorf("--queue %q: %w", queue, err)}
			}
			body.QueueSeconds = wait.Seconds()
			if len(args) > 1 {
				if body.Input, err = c.object(args[1:]); err != nil {
					return err
				}
			}
			return c.runJob(cmd.Context(), noWait, result, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				if product != "" {
					return client.CommandDevices(ctx, product, &apitype.CommandDevicesParams{DryRun: &c.dryRun}, body)
				}
				return client.CommandFleet(ctx, &apitype.CommandFleetParams{DryRun: &c.dryRun}, body)
			})
		},
	}
	jobFlags(cmd, &noWait, &result)
	f := cmd.Flags()
	f.StringVar(&product, "product", "", "only devices of this product")
	f.StringVar(&state, "state", "", "only inactive, online, offline or disabled ones")
	f.StringVar(&body.Filter, "filter", "", "only devices that it takes: group:north -state:disabled …")
	f.Bool("all", false, "really every device of the project")
	f.StringVar(&queue, "queue", "1h", "how long each command may wait for its device: 1h, 7d")
	f.DurationVar(&timeout, "timeout", 5*time.Second, "how long each device has to answer")
	return cmd
}
