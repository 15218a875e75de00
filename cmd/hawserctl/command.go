package main

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newCommand(c *cli) *cobra.Command {
	call := newCommandCall(c)
	return group("command", "A device's thing model commands: call", call.Example, call)
}

func newCommandCall(c *cli) *cobra.Command {
	var body apitype.CommandCall
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "call P D ID [JSON|KEY=VALUE…|-]",
		Short: "Call a command and wait for the device's answer",
		Example: `  hawserctl command call 70ly1tvowt696r15 cellar-1 reboot
  hawserctl command call 70ly1tvowt696r15 cellar-1 dim '{"percent":40}' --timeout 20s
  hawserctl command call 70ly1tvowt696r15 cellar-1 dim percent=40 --async`,
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
			return c.showReply(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CallCommand(ctx, args[0], args[1], body)
			})
		},
	}
	cmd.Flags().BoolVar(&body.Async, "async", false, "do not wait for the answer")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for the device")
	return cmd
}

func newPublish(c *cli) *cobra.Command {
	var qos int
	var isBase64 bool
	cmd := &cobra.Command{
		Use:   "publish P D TOPIC PAYLOAD|-",
		Short: "Publish a message to a device",
		Long: `Publish a message to a device. TOPIC is one of its custom topics, whole
(/P/D/set) or from the device on (set). PAYLOAD - is read from standard input and
may be any bytes. With --qos 1 it is queued for a device that is away and has a
persistent session.`,
		Example: `  hawserctl publish 70ly1tvowt696r15 cellar-1 set '{"led":1}'
  hawserctl publish 70ly1tvowt696r15 cellar-1 set - --qos 1 < config.bin`,
		Args: exactArgs("P (productSN)", "D (deviceSN)", "TOPIC", "PAYLOAD"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := apitype.Publication{Topic: args[2], Qos: qos}
			switch {
			case isBase64:
				body.PayloadBase64 = args[3]
			case args[3] == "-":
				b, err := c.readFile("-")
				if err != nil {
					return err
				}
				setPayload(&body, b)
			default:
				setPayload(&body, []byte(args[3]))
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.Publish(ctx, args[0], args[1], body)
			})
		},
	}
	cmd.Flags().IntVar(&qos, "qos", 0, "0 or 1")
	cmd.Flags().BoolVar(&isBase64, "base64", false, "PAYLOAD is base64 of the bytes")
	return cmd
}

// setPayload sends text as text, which is easier to read in logs, and bytes as base64.
func setPayload(body *apitype.Publication, b []byte) {
	if utf8.Valid(b) {
		body.Payload = string(b)
		return
	}
	body.PayloadBase64 = base64.StdEncoding.EncodeToString(b)
}
