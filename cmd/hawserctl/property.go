package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newProperty(c *cli) *cobra.Command {
	return group("property", "A device's thing model properties: get, set, history", `  hawserctl property get 70ly1tvowt696r15 cellar-1
  hawserctl property set 70ly1tvowt696r15 cellar-1 target=21.5 --desired
  hawserctl property history 70ly1tvowt696r15 cellar-1 temperature --plot`, newPropertyGet(c), newPropertySet(c), newPropertyHistory(c))
}

func newPropertyGet(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "get P D",
		Short:   "Get the latest values",
		Example: "  hawserctl property get 70ly1tvowt696r15 cellar-1 -o json | jq .property.temperature.value",
		Args:    exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetProperties(ctx, args[0], args[1])
			})
			if err != nil {
				return err
			}
			if c.raw() {
				return c.printRaw(b)
			}
			return c.printProperties(b)
		},
	}
}

func (c *cli) printProperties(b json.RawMessage) error {
	var all apitype.Properties
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	names := make([]string, 0, len(all.Property))
	for name := range all.Property {
		names = append(names, name)
	}
	slices.Sort(names)
	rows := make([]json.RawMessage, len(names))
	for i, name := range names {
		v := all.Property[name]
		row, err := json.Marshal(map[string]any{"property": name, "value": v.Value, "time": time.UnixMilli(v.Time).UTC()})
		if err != nil {
			return err
		}
		rows[i] = row
	}
	return c.printList(rows, "property", "value", "time")
}

func newPropertySet(c *cli) *cobra.Command {
	var body apitype.PropertySet
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "set P D JSON|KEY=VALUE…|-",
		Short: "Set properties of a device and wait for its answer",
		Example: `  hawserctl property set 70ly1tvowt696r15 cellar-1 target=21.5
  hawserctl property set 70ly1tvowt696r15 cellar-1 '{"target":21.5}' --timeout 20s
  hawserctl property set 70ly1tvowt696r15 cellar-1 target=21.5 --desired`,
		Args: rangeArgs(3, -1, "P (productSN)", "D (deviceSN)", "JSON, KEY=VALUE or -"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if body.Property, err = c.object(args[2:]); err != nil {
				return err
			}
			if body.TimeoutSeconds, err = seconds(timeout); err != nil {
				return err
			}
			return c.showReply(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.SetProperties(ctx, args[0], args[1], body)
			})
		},
	}
	cmd.Flags().BoolVar(&body.Desired, "desired", false, "keep the values as desired ones when the device is away")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for the device")
	return cmd
}

// showReply prints a device's answer; one with a retCode is an error of this command too.
func (c *cli) showReply(ctx context.Context, call request) error {
	b, err := c.do(ctx, call)
	if err != nil {
		return err
	}
	if err := c.printOne(b); err != nil {
		return err
	}
	var reply struct{ RetCode int }
	if err := json.Unmarshal(b, &reply); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	if reply.RetCode != 0 {
		return fmt.Errorf("%w: retCode %d", errDevice, reply.RetCode)
	}
	return nil
}
