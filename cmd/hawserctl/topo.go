package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newTopo(c *cli) *cobra.Command {
	return group("topo", "Gateways and their sub-devices: list, add, remove, gateway, requests, accept, refuse", `  hawserctl topo list 70ly1tvowt696r15 gateway-1
  hawserctl topo add 70ly1tvowt696r15 gateway-1 k3v9q0x2m7d4s8b1 meter-7 meter-8
  hawserctl topo requests
  hawserctl topo accept 70ly1tvowt696r15 gateway-1 k3v9q0x2m7d4s8b1 meter-9`,
		newTopoList(c), newTopoAdd(c), newTopoGateway(c), newTopoRequests(c),
		topoCall(c, "remove", "Take a sub-device off a gateway; it goes offline, and the gateway is told",
			func(ctx context.Context, client *apiclient.Client, p, d, subP, subD string) (*http.Response, error) {
				return client.RemoveSubdevice(ctx, p, d, subP, subD)
			}),
		topoCall(c, "accept", "Consent to a gateway's request for a sub-device",
			func(ctx context.Context, client *apiclient.Client, p, d, subP, subD string) (*http.Response, error) {
				return client.AcceptTopologyRequest(ctx, p, d, subP, subD)
			}),
		topoCall(c, "refuse", "Refuse a gateway's request; it may ask again",
			func(ctx context.Context, client *apiclient.Client, p, d, subP, subD string) (*http.Response, error) {
				return client.RefuseTopologyRequest(ctx, p, d, subP, subD)
			}))
}

// topoCall is a command with a gateway and a sub-device as its arguments.
func topoCall(c *cli, verb, short string, call func(ctx context.Context, client *apiclient.Client, p, d, subP, subD string) (*http.Response, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " P D SUB-P SUB-D",
		Short:   short,
		Example: "  hawserctl topo " + verb + " 70ly1tvowt696r15 gateway-1 k3v9q0x2m7d4s8b1 meter-7",
		Args:    exactArgs("P (the gateway's productSN)", "D (the gateway's deviceSN)", "SUB-P (the sub-device's productSN)", "SUB-D (the sub-device's deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return call(ctx, client, args[0], args[1], args[2], args[3])
			})
		},
	}
}

func newTopoList(c *cli) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "list P D",
		Short:   "The sub-devices of a gateway",
		Example: "  hawserctl topo list 70ly1tvowt696r15 gateway-1 -o json",
		Args:    exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := c.all(cmd.Context(), limit, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListSubdevices(ctx, args[0], args[1], &apitype.ListSubdevicesParams{Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "productSN", "deviceSN", "state", "name", "addedAt")
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many; 0 is all")
	return cmd
}

func newTopoAdd(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "add P D SUB-P SUB-D…",
		Short: "Put sub-devices of a product under a gateway, all or none",
		Long: `Put sub-devices of a product under a gateway, all or none. A gateway that had one
before loses it; both are told. A product that wants consent has it by this.`,
		Example: "  hawserctl topo add 70ly1tvowt696r15 gateway-1 k3v9q0x2m7d4s8b1 meter-7 meter-8",
		Args:    rangeArgs(4, -1, "P (the gateway's productSN)", "D (the gateway's deviceSN)", "SUB-P (the sub-devices' productSN)", "SUB-D (a sub-device's deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var body apitype.SubdeviceNames
			for _, sn := range args[3:] {
				body.Subdevices = append(body.Subdevices, apitype.SubdeviceName{ProductSN: args[2], DeviceSN: sn})
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.AddSubdevices(ctx, args[0], args[1], body)
			})
		},
	}
}

func newTopoGateway(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "gateway P D",
		Short:   "The gateway that a sub-device is under",
		Example: "  hawserctl topo gateway k3v9q0x2m7d4s8b1 meter-7 -o json | jq -r .deviceSN",
		Args:    exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetGateway(ctx, args[0], args[1])
			})
		},
	}
}

func newTopoRequests(c *cli) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "requests",
		Short: "What gateways wait for an operator's consent to",
		Long: `What gateways wait for an operator's consent to: topo/add of sub-devices whose
product has subdeviceConsent (product settings P --subdevice-consent).`,
		Example: `  hawserctl topo requests
  hawserctl topo requests -o json | jq -r '.[] | "\(.gatewaySN) wants \(.deviceSN)"'`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			items, err := c.all(cmd.Context(), limit, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListTopologyRequests(ctx, &apitype.ListTopologyRequestsParams{Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "gatewayProductSN", "gatewaySN", "productSN", "deviceSN", "requestedAt")
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many; 0 is all")
	return cmd
}
