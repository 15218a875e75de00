package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newOTA(c *cli) *cobra.Command {
	return group("ota", "Tasks that bring firmware to devices: start, list, status, devices, cancel", `  hawserctl ota start 70ly1tvowt696r15 412233445566778899 --group east --wait
  hawserctl ota status 70ly1tvowt696r15 412233445566779000 --wait
  hawserctl ota devices 70ly1tvowt696r15 412233445566779000 --state failed`,
		newOTAStart(c), newOTAList(c), newOTAStatus(c), newOTADevices(c), newOTACancel(c))
}

func newOTAStart(c *cli) *cobra.Command {
	var body apitype.NewOTATask
	var timeout, expires time.Duration
	var wait bool
	cmd := &cobra.Command{
		Use:   "start PRODUCT FIRMWARE",
		Short: "Bring a firmware to devices: of a list, a group, a filter, or all",
		Long: `Bring a firmware to devices: of a list, a group, a filter, or all.

A device that is online is offered the firmware at once, another one when it asks.
One that was still to get another firmware for the module gets this one instead.
In a project whose campaigns somebody else approves it is refused: make a campaign.
With --wait the command shows the progress until all devices are done; its exit
code is 8 when some of them failed.`,
		Example: `  hawserctl ota start 70ly1tvowt696r15 412233445566778899 --device cellar-1 --device cellar-2
  hawserctl ota start 70ly1tvowt696r15 412233445566778899 --group east --timeout 30m --wait
  hawserctl ota start 70ly1tvowt696r15 412233445566778899 --filter 'tag.site:north'
  hawserctl ota start 70ly1tvowt696r15 412233445566778899 --all --expires 720h`,
		Args: exactArgs("PRODUCT", "FIRMWARE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body.FirmwareID = args[1]
			body.TimeoutSeconds, body.ExpiresInSeconds = int(timeout.Seconds()), int(expires.Seconds())
			start := func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CreateOTATask(ctx, args[0], body)
			}
			if !wait {
				return c.show(cmd.Context(), start)
			}
			b, err := c.do(cmd.Context(), start)
			if err != nil {
				return err
			}
			var t apitype.OTATask
			if err := json.Unmarshal(b, &t); err != nil {
				return fmt.Errorf("read the hub's answer: %w", err)
			}
			return c.waitOTA(cmd.Context(), args[0], t.TaskID)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&body.Targets.Devices, "device", nil, "a device, may be given more than once")
	f.StringVar(&body.Targets.Group, "group", "", "the devices of this group")
	f.StringVar(&body.Targets.Filter, "filter", "", "the devices that this takes; see help filter")
	f.BoolVar(&body.Targets.All, "all", false, "all devices of the product")
	f.StringVar(&body.Name, "name", "", "name of the task")
	f.DurationVar(&timeout, "timeout", 0, "how long a device that was offered the firmware may be silent (default 1h)")
	f.DurationVar(&expires, "expires", 0, "how long the task waits for devices that are not there (default 168h)")
	f.BoolVar(&wait, "wait", false, "show the progress until all devices are done")
	return cmd
}

// taskMembers are what lists show of a task.
var taskMembers = []string{"taskID", "name", "module", "version", "state", "total", "devices.succeeded", "devices.failed", "createdAt"}

func newOTAList(c *cli) *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use:     "list PRODUCT",
		Short:   "List the tasks of a product, newest first",
		Example: "  hawserctl ota list 70ly1tvowt696r15",
		Args:    exactArgs("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListOTATasks(ctx, args[0], &apitype.ListOTATasksParams{Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, taskMembers...)
		},
	}
	limitFlag(cmd, &most)
	return cmd
}

func newOTAStatus(c *cli) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "status PRODUCT TASK",
		Short: "Show how far a task is, with --wait until it has ended",
		Example: `  hawserctl ota status 70ly1tvowt696r15 412233445566779000
  hawserctl ota status 70ly1tvowt696r15 412233445566779000 --wait`,
		Args: exactArgs("PRODUCT", "TASK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait {
				return c.waitOTA(cmd.Context(), args[0], args[1])
			}
			return c.show(cmd.Context(), getOTATask(args[0], args[1]))
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "show the progress until all devices are done")
	return cmd
}

func getOTATask(product, task string) request {
	return func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.GetOTATask(ctx, product, task)
	}
}

func newOTACancel(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "cancel PRODUCT TASK",
		Short:   "End a task; what is done stays done",
		Example: "  hawserctl ota cancel 70ly1tvowt696r15 412233445566779000",
		Args:    exactArgs("PRODUCT", "TASK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CancelOTATask(ctx, args[0], args[1])
			})
		},
	}
}

func newOTADevices(c *cli) *cobra.Command {
	var most int
	var state string
	cmd := &cobra.Command{
		Use:     "devices PRODUCT TASK",
		Short:   "List the devices of a task, with how far each is",
		Example: "  hawserctl ota devices 70ly1tvowt696r15 412233445566779000 --state failed",
		Args:    exactArgs("PRODUCT", "TASK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			params := apitype.ListOTADevicesParams{}
			if state != "" {
				s := apitype.OTAState(state)
				params.State = &s
			}
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				params.Limit, params.Cursor = limit, cursor
				return client.ListOTADevices(ctx, args[0], args[1], &params)
			})
			if err != nil {
				return err
			}
			return c.printList(items, "deviceSN", "state", "percent", "class", "errCode", "fromVersion", "attempts", "updatedAt")
		},
	}
	limitFlag(cmd, &most)
	cmd.Flags().StringVar(&state, "state", "", "only initial, pending, downloading, burning, succeeded, failed, cancelled or rolled_back ones")
	return cmd
}

// otaPoll is how often a task that is waited for is looked at.
const otaPoll = time.Second

// waitOTA shows the progress of a task until it has ended, and prints it.
func (c *cli) waitOTA(ctx context.Context, product, task string) error {
	bar := c.newProgress()
	defer bar.end()
	for {
		b, err := c.do(ctx, getOTATask(product, task))
		if err != nil {
			return err
		}
		var t apitype.OTATask
		if err := json.Unmarshal(b, &t); err != nil {
			return fmt.Errorf("read the task: %w", err)
		}
		if open := t.Devices.Initial + t.Devices.Pending + t.Devices.Downloading + t.Devices.Burning; open == 0 {
			bar.end()
			return c.endedOTA(b, &t)
		}
		bar.line("task "+task, otaBar(&t), otaCounts(&t))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(otaPoll):
		}
	}
}

func (c *cli) endedOTA(b json.RawMessage, t *apitype.OTATask) error {
	if err := c.printOne(b); err != nil {
		return err
	}
	if bad := t.Devices.Failed + t.Devices.RolledBack + t.Devices.Cancelled; bad > 0 {
		return fmt.Errorf("%w: %d of %d devices were not updated; hawserctl ota devices says why", errRows, bad, t.Total)
	}
	return nil
}

// otaBar is one line: ██████░░░░  62 % 6,200/10,000 done, 12 failed, 30 downloading.
func otaBar(t *apitype.OTATask) string {
	done := t.Devices.Succeeded + t.Devices.Failed + t.Devices.RolledBack + t.Devices.Cancelled
	share := float64(done) / float64(max(t.Total, 1))
	full := int(share * barWidth)
	return fmt.Sprintf("%s%s %3.0f %% %s", strings.Repeat("█", full), strings.Repeat("░", barWidth-full), share*100, otaCounts(t))
}

func otaCounts(t *apitype.OTATask) string {
	n := t.Devices
	parts := []string{grouped(n.Succeeded) + "/" + grouped(t.Total) + " updated"}
	for _, p := range []struct {
		n    int64
		what string
	}{{n.Failed, "failed"}, {n.RolledBack, "rolled back"}, {n.Cancelled, "cancelled"}, {n.Burning, "burning"}, {n.Downloading, "downloading"},
		{n.Pending, "offered"}, {n.Initial, "waiting"}} {
		if p.n > 0 {
			parts = append(parts, grouped(p.n)+" "+p.what)
		}
	}
	return strings.Join(parts, ", ")
}
