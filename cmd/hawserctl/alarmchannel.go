package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// channelKinds are the kinds of alarm channel.
var channelKinds = []string{"dingtalk", "feishu", "slack", "smtp", "teams", "webhook", "wecom"}

func newAlarmChannel(c *cli) *cobra.Command {
	return group("alarm-channel", "Alarm channels: who is told of alarms: create, list, get, update, delete, test",
		"  hawserctl alarm-channel create ops --kind slack --secret url=@slack.url\n  hawserctl alarm-channel test 4",
		newAlarmChannelCreate(c), newAlarmChannelList(c), newAlarmChannelUpdate(c), newAlarmChannelTest(c),
		simple(c, "get ID", "Get an alarm channel, without its secrets", "hawserctl alarm-channel get 4",
			func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
				return client.GetAlarmChannel(ctx, args[0])
			}),
		simple(c, "delete ID", "Delete an alarm channel that no alarm rule uses", "hawserctl alarm-channel delete 4",
			func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
				return client.DeleteAlarmChannel(ctx, args[0])
			}))
}

func newAlarmChannelCreate(c *cli) *cobra.Command {
	var body apitype.NewAlarmChannel
	var s settings
	cmd := &cobra.Command{
		Use:   "create NAME --kind KIND",
		Short: "Create an alarm channel",
		Long: `Create an alarm channel: a webhook, mail, or the hook of a chat. It is not connected to
before something is sent; alarm-channel test sends something. docs/monitoring.md has the
members of each kind.

` + settingsHelp,
		Example: `  hawserctl alarm-channel create ops --kind webhook --set url=https://ops.example/alarms --secret secret=@hook.secret
  hawserctl alarm-channel create mail --kind smtp --set host=mail.example --set user=hub --secret password=@mail.password --set from=hub@example.com --set 'to=["ops@example.com"]'
  hawserctl alarm-channel create chat --kind dingtalk --secret url=@ding.url --secret secret=@ding.secret`,
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
				return client.CreateAlarmChannel(ctx, body)
			})
		},
	}
	cmd.Flags().StringVar(&body.Kind, "kind", "", "webhook, smtp, slack, teams, wecom, dingtalk or feishu (required)")
	s.add(cmd)
	return cmd
}

func newAlarmChannelList(c *cli) *cobra.Command {
	var most int
	var ch choice
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List alarm channels and how they are doing",
		Example: "  hawserctl alarm-channel list\n  hawserctl alarm-channel list --filter state:failing",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, sort := ch.parts()
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListAlarmChannels(ctx, &apitype.ListAlarmChannelsParams{Filter: filter, Sort: sort, Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "id", "name", "kind", "sentAt", "failures", "lastError")
		},
	}
	ch.add(cmd, "name, kind, state (working, failing, unused), failures, sent, updated",
		"name, kind, failures, sent, updated")
	limitFlag(cmd, &most)
	return cmd
}

func newAlarmChannelUpdate(c *cli) *cobra.Command {
	var name string
	var s settings
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change what the flags name of an alarm channel",
		Long: `Change what the flags name of an alarm channel; the rest stays, secrets too. --unset NAME
takes a member away.

` + settingsHelp,
		Example: "  hawserctl alarm-channel update 4 --set url=https://ops.example/other\n  hawserctl alarm-channel update 4 --secret password=@new.password",
		Args:    exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetAlarmChannel(ctx, args[0])
			})
			if err != nil {
				return err
			}
			var now apitype.AlarmChannel
			var config map[string]json.RawMessage
			if err = json.Unmarshal(b, &now); err == nil {
				err = json.Unmarshal(now.Config, &config)
			}
			if err != nil {
				return fmt.Errorf("read the hub's alarm channel: %w", err)
			}
			body := apitype.AlarmChannelChange{Name: now.Name}
			if cmd.Flags().Changed("name") {
				body.Name = name
			}
			if body.Config, err = s.apply(c, config); err != nil {
				return err
			}
			c.holdTo(now.Revision)
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UpdateAlarmChannel(ctx, args[0], body)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name")
	cmd.Flags().StringArrayVar(&s.unset, "unset", nil, "member of the configuration to take away")
	s.add(cmd)
	return cmd
}

func newAlarmChannelTest(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "test ID",
		Short:   "Send a message that says that it is a test",
		Long:    "Send a message that says that it is a test. The exit code is 9 when it was not taken.",
		Example: "  hawserctl alarm-channel test 4",
		Args:    exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.TestAlarmChannel(ctx, args[0])
			})
			if err != nil || b == nil {
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
}
