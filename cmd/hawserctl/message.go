package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newMessage(c *cli) *cobra.Command {
	publish := newPublish(c)
	publish.Example = `  hawserctl message publish 70ly1tvowt696r15 cellar-1 set '{"led":1}' --qos 1 --expiry 1h`
	return group("message", "Messages to devices: publish, broadcast, request, send", `  hawserctl message publish 70ly1tvowt696r15 cellar-1 set '{"led":1}'
  hawserctl message broadcast 70ly1tvowt696r15 all '{"maintenance":true}' --qos 1
  hawserctl message request 70ly1tvowt696r15 cellar-1 set upload '{"get":"log"}'
  hawserctl message send set '{"led":1}' --filter group:east`,
		publish, newMessageBroadcast(c), newMessageRequest(c), newMessageSend(c))
}

// payload is a PAYLOAD argument: text, - for standard input, or base64 of bytes.
type payload struct {
	base64      bool
	text, bytes string // one of them is what is sent
}

func (p *payload) read(c *cli, arg string) error {
	b := []byte(arg)
	switch {
	case p.base64:
		p.bytes = arg
		return nil
	case arg == "-":
		var err error
		if b, err = c.readFile("-"); err != nil {
			return err
		}
	}
	if utf8.Valid(b) { // easier to read in logs
		p.text = string(b)
	} else {
		p.bytes = base64.StdEncoding.EncodeToString(b)
	}
	return nil
}

// delivery are the flags of a message.
type delivery struct {
	payload
	qos    int
	expiry string
}

func (d *delivery) flags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&d.qos, "qos", 0, "0 or 1")
	cmd.Flags().BoolVar(&d.base64, "base64", false, "PAYLOAD is base64 of the bytes")
	cmd.Flags().StringVar(&d.expiry, "expiry", "", "how long it may wait in a queue: 10m, 1h; 72h by default")
}

func (d *delivery) seconds() (float64, error) {
	if d.expiry == "" {
		return 0, nil
	}
	wait, err := age(d.expiry)
	if err != nil {
		return 0, usageError{fmt.Errorf("--expiry %q: %w", d.expiry, err)}
	}
	return wait.Seconds(), nil
}

// mailing are the flags of a message to many.
type mailing struct {
	delivery
	noWait bool
	result string
	body   apitype.Mailing
}

func (m *mailing) flags(cmd *cobra.Command) {
	m.delivery.flags(cmd)
	jobFlags(cmd, &m.noWait, &m.result)
	cmd.Flags().BoolVar(&m.body.Raw, "raw", false, "send PAYLOAD as it is, not through the products' parse scripts")
	cmd.Flags().StringVar(&m.body.Filter, "filter", "", "only devices that it takes: group:north state:online …")
}

// run starts the job that call asks for.
func (m *mailing) run(c *cli, cmd *cobra.Command, topic, arg string, call request) error {
	if m.noWait && m.result != "" {
		return usageError{errors.New("--no-wait and --result exclude each other: the result is there when the job has ended")}
	}
	if err := m.read(c, arg); err != nil {
		return err
	}
	var err error
	if m.body.ExpirySeconds, err = m.seconds(); err != nil {
		return err
	}
	m.body.Topic, m.body.Qos, m.body.Payload, m.body.PayloadBase64 = topic, m.qos, m.text, m.bytes
	return c.runJob(cmd.Context(), m.noWait, m.result, call)
}

func newMessageBroadcast(c *cli) *cobra.Command {
	var m mailing
	cmd := &cobra.Command{
		Use:   "broadcast P TOPIC PAYLOAD|-",
		Short: "Publish a message to all devices of a product, as a job",
		Long: `Publish a message to all devices of a product that are subscribed to the topic, as
a job. TOPIC is below /P/$broadcast/, whole or from there on. With --qos 1 it is
queued for those that are away with a persistent session. The job's result says
what became of it at each device.`,
		Example: `  hawserctl message broadcast 70ly1tvowt696r15 all '{"maintenance":true}' --qos 1 --expiry 1h
  hawserctl message broadcast 70ly1tvowt696r15 all - --result outcome.csv < notice.json`,
		Args: exactArgs("P (productSN)", "TOPIC", "PAYLOAD"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.run(c, cmd, args[1], args[2], func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.Broadcast(ctx, args[0], &apitype.BroadcastParams{DryRun: &c.dryRun}, m.body)
			})
		},
	}
	m.flags(cmd)
	return cmd
}

func newMessageSend(c *cli) *cobra.Command {
	var m mailing
	var product string
	cmd := &cobra.Command{
		Use:   "send TOPIC PAYLOAD|-",
		Short: "Publish a message to every device that a filter takes, as a job",
		Long: `Publish a message to every device of the project that a filter takes, as a job;
with --product, of that product. TOPIC is the path of a custom topic below each
device, such as set. Without --filter or --product it is every device of the
project, which wants --all.`,
		Example: `  hawserctl message send set '{"led":1}' --filter group:east
  hawserctl message send set '{"led":1}' --product 70ly1tvowt696r15 --qos 1 --result outcome.csv`,
		Args: exactArgs("TOPIC", "PAYLOAD"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all, _ := cmd.Flags().GetBool("all"); !all && product == "" && m.body.Filter == "" {
				return usageError{errors.New("this is every device of the project: narrow it with --filter or --product, or say --all")}
			}
			return m.run(c, cmd, args[0], args[1], func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				if product != "" {
					return client.PublishDevices(ctx, product, &apitype.PublishDevicesParams{DryRun: &c.dryRun}, m.body)
				}
				return client.PublishFleet(ctx, &apitype.PublishFleetParams{DryRun: &c.dryRun}, m.body)
			})
		},
	}
	m.flags(cmd)
	cmd.Flags().StringVar(&product, "product", "", "only devices of this product")
	cmd.Flags().Bool("all", false, "really every device of the project")
	return cmd
}

func newMessageRequest(c *cli) *cobra.Command {
	var p payload
	var timeout time.Duration
	var raw bool
	cmd := &cobra.Command{
		Use:   "request P D TOPIC REPLY-TOPIC PAYLOAD|-",
		Short: "Send a message and wait for the message that answers it",
		Long: `Send a message to a device and print the payload of its next message on
REPLY-TOPIC, a custom topic that it may publish to. A client of MQTT 5.0 finds
that topic and correlation data in the message.`,
		Example: `  hawserctl message request 70ly1tvowt696r15 cellar-1 set upload '{"get":"log"}'
  hawserctl message request 70ly1tvowt696r15 cellar-1 set upload - --timeout 20s < ask.bin`,
		Args: exactArgs("P (productSN)", "D (deviceSN)", "TOPIC", "REPLY-TOPIC", "PAYLOAD"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.read(c, args[4]); err != nil {
				return err
			}
			wait, err := seconds(timeout)
			if err != nil {
				return err
			}
			body := apitype.DeviceRequest{Topic: args[2], ReplyTopic: args[3], Payload: p.text, PayloadBase64: p.bytes, TimeoutSeconds: wait, Raw: raw}
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.RequestDevice(ctx, args[0], args[1], body)
			})
			if err != nil || b == nil {
				return err
			}
			return c.printAnswer(b)
		},
	}
	cmd.Flags().BoolVar(&p.base64, "base64", false, "PAYLOAD is base64 of the bytes")
	cmd.Flags().BoolVar(&raw, "raw", false, "send PAYLOAD as it is, not through the product's parse script")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for the device")
	return cmd
}

// printAnswer prints a device's answer: its bytes as they are, unless an object is wanted.
func (c *cli) printAnswer(b json.RawMessage) error {
	if c.output != asTable {
		return c.printOne(b)
	}
	var a apitype.DeviceAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	if a.PayloadBase64 == "" {
		_, err := fmt.Fprintln(c.out, a.Payload)
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(a.PayloadBase64)
	if err == nil {
		_, err = c.out.Write(raw)
	}
	return err
}
