package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// deviceMembers are the columns of a table of devices.
var deviceMembers = []string{"deviceSN", "state", "name", "lastSeen", "createdAt"}

func newDevice(c *cli) *cobra.Command {
	return group("device", "Devices: create, list, search, count, get, update, tag, enable, disable, reset, delete, history", `  hawserctl device create --product 70ly1tvowt696r15 --sn cellar-1
  hawserctl device list 70ly1tvowt696r15 --state online
  hawserctl device search 'state:offline lastSeen<-7d'
  hawserctl device disable 70ly1tvowt696r15 cellar-1`,
		newDeviceCreate(c), newDeviceImport(c), newDeviceBulk(c), newDeviceList(c), newDeviceSearch(c), newDeviceCount(c), newDeviceTag(c), newDeviceHistory(c), newAgentGet(c, "agent P D", "device agent"), newDeviceVersions(c), newDeviceUpdate(c), newDeviceReset(c), newDeviceReveal(c),
		deviceCall(c, "get", "Get a device, with its secret", func(ctx context.Context, client *apiclient.Client, p, d string) (*http.Response, error) {
			return client.GetDevice(ctx, p, d)
		}),
		deviceCall(c, "enable", "Let a disabled device log in again", func(ctx context.Context, client *apiclient.Client, p, d string) (*http.Response, error) {
			return client.EnableDevice(ctx, p, d)
		}),
		deviceCall(c, "disable", "Refuse a device; it is cut off at once", func(ctx context.Context, client *apiclient.Client, p, d string) (*http.Response, error) {
			return client.DisableDevice(ctx, p, d)
		}),
		deviceCall(c, "delete", "Delete a device with all that is kept about it", func(ctx context.Context, client *apiclient.Client, p, d string) (*http.Response, error) {
			return client.DeleteDevice(ctx, p, d)
		}))
}

// deviceCall is a command with a product and a device as its only arguments.
func deviceCall(c *cli, verb, short string, call func(ctx context.Context, client *apiclient.Client, product, device string) (*http.Response, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " P D",
		Short:   short,
		Example: "  hawserctl device " + verb + " 70ly1tvowt696r15 cellar-1",
		Args:    exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return call(ctx, client, args[0], args[1])
			})
		},
	}
}

// newDevices are the flags of device create.
type newDevices struct {
	product string
	sns     []string
	count   int
	device  apitype.NewDevice
	tags    map[string]string
}

func newDeviceCreate(c *cli) *cobra.Command {
	var n newDevices
	cmd := &cobra.Command{
		Use:   "create --product P",
		Short: "Create one device or many",
		Long: `Create one device, or many: with --sn given more than once, or with --count.
Many are created all or none. With -o json one device is an object; --count and
several --sn give an array.`,
		Example: `  hawserctl device create --product 70ly1tvowt696r15
  hawserctl device create --product 70ly1tvowt696r15 --sn cellar-1 --name "In the cellar"
  hawserctl device create --product 70ly1tvowt696r15 --count 100 -o json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			many := cmd.Flags().Changed("count") || len(n.sns) > 1
			switch {
			case n.product == "":
				return usageError{errors.New("--product is missing")}
			case cmd.Flags().Changed("count") && len(n.sns) > 0:
				return usageError{errors.New("--count and --sn exclude each other")}
			case many && (n.device.Name != "" || n.device.Description != "" || n.tags != nil):
				return usageError{errors.New("--name, --description and --tag are for one device")}
			case many:
				return c.createDevices(cmd.Context(), n)
			}
			return c.createDevice(cmd.Context(), n)
		},
	}
	f := cmd.Flags()
	f.StringVar(&n.product, "product", "", "productSN (required)")
	f.StringArrayVar(&n.sns, "sn", nil, "deviceSN; generated when absent; may be repeated")
	f.IntVar(&n.count, "count", 0, "so many devices with generated deviceSNs")
	f.StringVar(&n.device.Name, "name", "", "name")
	f.StringVar(&n.device.Description, "description", "", "description")
	f.StringToStringVar(&n.tags, "tag", nil, "NAME=VALUE, for one device; may be repeated")
	return cmd
}

func (c *cli) createDevice(ctx context.Context, n newDevices) error {
	n.device.Tags = n.tags
	if len(n.sns) == 1 {
		n.device.DeviceSN = n.sns[0]
	}
	return c.show(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.CreateDevice(ctx, n.product, n.device)
	})
}

func (c *cli) createDevices(ctx context.Context, n newDevices) error {
	b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.CreateDevices(ctx, n.product, apitype.NewDevices{Count: n.count, DeviceSNs: n.sns})
	})
	if err != nil {
		return err
	}
	items, err := itemsOf(b)
	if err != nil {
		return err
	}
	return c.printList(items, "deviceSN", "deviceSecret")
}

func newDeviceList(c *cli) *cobra.Command {
	var most int
	var state, filter, sort string
	cmd := &cobra.Command{
		Use:   "list P",
		Short: "List a product's devices",
		Long:  "List a product's devices, all or those that --filter takes.\n\n" + filterHelp,
		Example: `  hawserctl device list 70ly1tvowt696r15
  hawserctl device list 70ly1tvowt696r15 --state offline -o json
  hawserctl device list 70ly1tvowt696r15 --filter 'tag.region:eu name:pump*' --sort -lastSeen`,
		Args: exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			params := apitype.ListDevicesParams{Filter: optional(filter), Sort: optional(sort)}
			if state != "" {
				s := apitype.DeviceState(state)
				params.State = &s
			}
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				params.Limit, params.Cursor = limit, cursor
				return client.ListDevices(ctx, args[0], &params)
			})
			if err != nil {
				return err
			}
			return c.printList(items, deviceMembers...)
		},
	}
	limitFlag(cmd, &most)
	cmd.Flags().StringVar(&state, "state", "", "only inactive, online, offline or disabled ones")
	cmd.Flags().StringVar(&filter, "filter", "", "only devices that this takes")
	sortFlag(cmd, &sort)
	return cmd
}

func newDeviceUpdate(c *cli) *cobra.Command {
	var name, description string
	cmd := &cobra.Command{
		Use:     "update P D",
		Short:   "Change what the flags name of a device",
		Example: `  hawserctl device update 70ly1tvowt696r15 cellar-1 --name "In the cellar"`,
		Args:    exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := apitype.DevicePatch{Name: given(cmd.Flags(), "name", &name), Description: given(cmd.Flags(), "description", &description)}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UpdateDevice(ctx, args[0], args[1], body)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name")
	cmd.Flags().StringVar(&description, "description", "", "description")
	return cmd
}

func newDeviceReveal(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "reveal P D",
		Short:   "See a device's secret, which the audit log tells",
		Example: "  hawserctl device reveal 70ly1tvowt696r15 cellar-1",
		Args:    exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.RevealDevice(ctx, args[0], args[1])
			})
		},
	}
}

func newDeviceReset(c *cli) *cobra.Command {
	var body apitype.DeviceReset
	cmd := &cobra.Command{
		Use:     "reset P D",
		Short:   "Make a device inactive, so that it may register dynamically again",
		Example: "  hawserctl device reset 70ly1tvowt696r15 cellar-1 --new-secret",
		Args:    exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.ResetDevice(ctx, args[0], args[1], body)
			})
		},
	}
	cmd.Flags().BoolVar(&body.ResetSecret, "new-secret", false, "give it a new deviceSecret as well")
	return cmd
}
