package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newCommand(c *cli) *cobra.Command {
	return group("command", "A device's thing model commands: call, list, show, cancel, batch", `  hawserctl command call 70ly1tvowt696r15 cellar-1 dim percent=40
  hawserctl command call 70ly1tvowt696r15 cellar-1 reboot --queue 1h
  hawserctl command list 70ly1tvowt696r15 cellar-1`,
		newCommandCall(c), newCommandList(c), newCommandShow(c), newCommandCancel(c), newCommandBatch(c))
}

func newCommandCall(c *cli) *cobra.Command {
	var body apitype.CommandCall
	var timeout time.Duration
	var queue string
	cmd := &cobra.Command{
		Use:   "call P D ID [JSON|KEY=VALUE…|-]",
		Short: "Call a command and wait for the device's answer",
		Example: `  hawserctl command call 70ly1tvowt696r15 cellar-1 reboot
  hawserctl command call 70ly1tvowt696r15 cellar-1 dim '{"percent":40}' --timeout 20s
  hawserctl command call 70ly1tvowt696r15 cellar-1 dim percent=40 --async
  hawserctl command call 70ly1tvowt696r15 cellar-1 reboot --queue 1h`,
		Args: rangeArgs(3, -1, "P (productSN)", "D (deviceSN)", "ID (the command's identifier)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			body.Identifier = args[2]
			if len(args) > 3 {
				if body.Input, err = c.object(args[3:]); err != nil {
					return err
				}
			}
			if body.TimeoutSeconds, err = seconds(timeout); err != nil {
				return err
			}
			if queue != "" {
				wait, err := age(queue)
				if err != nil {
					return usageError{fmt.Errorf("--queue %q: %w", queue, err)}
				}
				body.QueueSeconds = wait.Seconds()
			}
			return c.showReply(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CallCommand(ctx, args[0], args[1], body)
			})
		},
	}
	cmd.Flags().StringVar(&queue, "queue", "", "let it wait so long for a device that is away: 1h, 7d")
	cmd.Flags().BoolVar(&body.Async, "async", false, "do not wait for the answer")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for the device")
	return cmd
}

func newPublish(c *cli) *cobra.Command {
	var d delivery
	var raw bool
	cmd := &cobra.Command{
		Use:   "publish P D TOPIC PAYLOAD|-",
		Short: "Publish a message to a device",
		Long: `Publish a message to a device. TOPIC is one of its custom topics, whole
(/P/D/set) or from the device on (set). PAYLOAD - is read from standard input and
may be any bytes. With --qos 1 it is queued for a device that is away and has a
persistent session. A JSON object goes through jsonToRawData of the product's
parse script first, if it has that; not with --raw.`,
		Example: `  hawserctl publish 70ly1tvowt696r15 cellar-1 set '{"led":1}'
  hawserctl publish 70ly1tvowt696r15 cellar-1 set - --qos 1 < config.bin`,
		Args: exactArgs("P (productSN)", "D (deviceSN)", "TOPIC", "PAYLOAD"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.read(c, args[3]); err != nil {
				return err
			}
			expiry, err := d.seconds()
			if err != nil {
				return err
			}
			body := apitype.Publication{Topic: args[2], Qos: d.qos, Raw: raw, Payload: d.text, PayloadBase64: d.bytes, ExpirySeconds: expiry}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.Publish(ctx, args[0], args[1], body)
			})
		},
	}
	d.flags(cmd)
	cmd.Flags().BoolVar(&raw, "raw", false, "send the payload as it is")
	return cmd
}
