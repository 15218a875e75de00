package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newCampaign(c *cli) *cobra.Command {
	return group("campaign", "Firmware for many devices, step by step: create, dry-run, list, status, devices, update, pause, resume, abort, rollback …",
		`  hawserctl campaign create 70ly1tvowt696r15 412233445566778899 --group east --canary cellar-1 --wave 5%,soak=1h --wave 100% --stop-at 5
  hawserctl campaign status 70ly1tvowt696r15 412233445566779000 --watch
  hawserctl campaign devices 70ly1tvowt696r15 412233445566779000 --state failed
  hawserctl campaign pause 70ly1tvowt696r15 412233445566779000`,
		newCampaignCreate(c), newCampaignDryRun(c), newCampaignList(c), newCampaignStatus(c), newCampaignDevices(c), newCampaignDevice(c), newCampaignUpdate(c),
		onCampaign(c, "approve", "Let a campaign start that waits for approval", func(client *apiclient.Client) campaignCall { return client.ApproveCampaign }),
		onCampaign(c, "pause", "Pause a campaign: devices that are at it go on, nobody else begins", func(client *apiclient.Client) campaignCall { return client.PauseCampaign }),
		onCampaign(c, "resume", "Go on with a paused campaign", func(client *apiclient.Client) campaignCall { return client.ResumeCampaign }),
		onCampaign(c, "abort", "End a campaign; what is done stays done", func(client *apiclient.Client) campaignCall { return client.AbortCampaign }),
		newCampaignRetry(c), newCampaignRollback(c), newCampaignVersions(c))
}

type campaignCall func(ctx context.Context, product, campaign string, edit ...apiclient.RequestEditorFn) (*http.Response, error)

// onCampaign is a command that takes an action on a campaign.
func onCampaign(c *cli, use, short string, call func(*apiclient.Client) campaignCall) *cobra.Command {
	return &cobra.Command{
		Use:     use + " PRODUCT CAMPAIGN",
		Short:   short,
		Example: "  hawserctl campaign " + use + " 70ly1tvowt696r15 412233445566779000",
		Args:    exactArgs("PRODUCT", "CAMPAIGN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return call(client)(ctx, args[0], args[1])
			})
		},
	}
}

func newCampaignRetry(c *cli) *cobra.Command {
	var body apitype.CampaignRetry
	cmd := &cobra.Command{
		Use:     "retry PRODUCT CAMPAIGN",
		Short:   "Offer the firmware once more to devices that ended without it",
		Example: "  hawserctl campaign retry 70ly1tvowt696r15 412233445566779000 --class NET",
		Args:    exactArgs("PRODUCT", "CAMPAIGN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.RetryCampaign(ctx, args[0], args[1], body)
			})
		},
	}
	cmd.Flags().StringVar(&body.Class, "class", "", "only those that ended for this reason")
	return cmd
}

func newCampaignRollback(c *cli) *cobra.Command {
	var body apitype.CampaignRollback
	cmd := &cobra.Command{
		Use:   "rollback PRODUCT CAMPAIGN",
		Short: "End a campaign and bring its updated devices back",
		Long: `End a campaign and bring its updated devices back, by campaigns of the firmware
that they ran before. Devices that verify signed manifests take nothing older: for
them --firmware names a release whose sequence is higher.`,
		Example: `  hawserctl campaign rollback 70ly1tvowt696r15 412233445566779000
  hawserctl campaign rollback 70ly1tvowt696r15 412233445566779000 --wave 2 --firmware 412233445566778000`,
		Args: exactArgs("PRODUCT", "CAMPAIGN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.RollbackCampaign(ctx, args[0], args[1], body)
			})
			if err != nil {
				return err
			}
			return c.printItems(b, campaignMembers...)
		},
	}
	cmd.Flags().IntVar(&body.Wave, "wave", 0, "only the devices of this wave")
	cmd.Flags().StringVar(&body.FirmwareID, "firmware", "", "what they get instead")
	return cmd
}

// campaignMembers are what lists show of a campaign.
var campaignMembers = []string{"campaignID", "name", "module", "version", "status", "wave", "targets", "released", "devices.succeeded", "devices.failed", "createdAt"}

func newCampaignList(c *cli) *cobra.Command {
	var most int
	var ch choice
	cmd := &cobra.Command{
		Use:     "list PRODUCT",
		Short:   "List the campaigns of a product, newest first",
		Example: "  hawserctl campaign list 70ly1tvowt696r15\n  hawserctl campaign list 70ly1tvowt696r15 --filter 'status:paused OR status:awaiting_approval'",
		Args:    exactArgs("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, sort := ch.parts()
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListCampaigns(ctx, args[0], &apitype.ListCampaignsParams{Filter: filter, Sort: sort, Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, campaignMembers...)
		},
	}
	ch.add(cmd, "name, status, module, version, firmware (its id), owner, targets, started, updated, ended",
		"name, status, module, version, targets, started, updated, ended")
	limitFlag(cmd, &most)
	return cmd
}

func newCampaignDevices(c *cli) *cobra.Command {
	var most int
	var state string
	cmd := &cobra.Command{
		Use:     "devices PRODUCT CAMPAIGN",
		Short:   "List the devices that a campaign has come to, with how far each is",
		Example: "  hawserctl campaign devices 70ly1tvowt696r15 412233445566779000 --state failed",
		Args:    exactArgs("PRODUCT", "CAMPAIGN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			params := apitype.ListCampaignDevicesParams{}
			if state != "" {
				s := apitype.DeploymentState(state)
				params.State = &s
			}
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				params.Limit, params.Cursor = limit, cursor
				return client.ListCampaignDevices(ctx, args[0], args[1], &params)
			})
			if err != nil {
				return err
			}
			return c.printList(items, "deviceSN", "state", "percent", "class", "wave", "fromVersion", "attempts", "updatedAt")
		},
	}
	limitFlag(cmd, &most)
	cmd.Flags().StringVar(&state, "state", "", "only queued, offered, downloading, … succeeded, failed, rejected, rolled_back, timed_out, cancelled or superseded ones")
	return cmd
}

func newCampaignDevice(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "device PRODUCT CAMPAIGN DEVICE",
		Short:   "Show what became of one device, moment by moment",
		Example: "  hawserctl campaign device 70ly1tvowt696r15 412233445566779000 cellar-1",
		Args:    exactArgs("PRODUCT", "CAMPAIGN", "DEVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetCampaignDevice(ctx, args[0], args[1], args[2])
			})
		},
	}
}

func newCampaignVersions(c *cli) *cobra.Command {
	var module string
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "versions PRODUCT",
		Short: "Show how many devices run which version, now or hour by hour",
		Example: `  hawserctl campaign versions 70ly1tvowt696r15
  hawserctl campaign versions 70ly1tvowt696r15 --since 168h --module radio`,
		Args: exactArgs("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			params, columns := apitype.ListFirmwareVersionsParams{}, []string{"module", "version", "devices"}
			if since > 0 {
				at := time.Now().Add(-since).UTC()
				params.Since, params.Module, columns = &at, &module, append([]string{"time"}, columns...)
			}
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.ListFirmwareVersions(ctx, args[0], &params)
			})
			if err != nil {
				return err
			}
			return c.printItems(b, columns...)
		},
	}
	cmd.Flags().DurationVar(&since, "since", 0, "hour by hour over that time")
	cmd.Flags().StringVar(&module, "module", "default", "with --since, the module")
	return cmd
}

// printItems prints the items of an answer.
func (c *cli) printItems(b json.RawMessage, columns ...string) error {
	items, err := itemsOf(b)
	if err != nil {
		return err
	}
	return c.printList(items, columns...)
}
