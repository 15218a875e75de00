package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newDeviceImport(c *cli) *cobra.Command {
	var noWait bool
	var result string
	cmd := &cobra.Command{
		Use:   "import P FILE.csv",
		Short: "Create devices from a CSV file",
		Long: `Create devices from a CSV file, - for standard input. The first row names the
columns, in any order and all optional:

  deviceSN     generated when it is empty
  name         up to 128 characters
  description  up to 1024 characters
  secret       16 characters, of devices that come from another cloud; generated
               when it is empty
  tag.NAME     the tag NAME, one column for each

The file is UTF-8, with commas, semicolons or tabs. A bad row harms no other. The
result has a line for each: ok or the class of the error, the line in the file, the
deviceSN, the secret, the reason; --result saves it. --dry-run has the hub check
every row and creates nothing. See hawserctl help jobs.`,
		Example: `  hawserctl device import 70ly1tvowt696r15 fleet.csv --dry-run
  hawserctl device import 70ly1tvowt696r15 fleet.csv --result fleet-secrets.csv
  sort old.csv | hawserctl device import 70ly1tvowt696r15 - --no-wait`,
		Args: exactArgs("P (productSN)", "FILE.csv"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if noWait && result != "" {
				return usageError{errors.New("--no-wait and --result exclude each other: the result is there when the job has ended")}
			}
			in := c.in
			if args[1] != "-" {
				f, err := os.Open(args[1])
				if err != nil {
					return usageError{err}
				}
				defer func() { _ = f.Close() }() // it was only read
				in = f
			}
			return c.runJob(cmd.Context(), noWait, result, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				// As a plain reader, so that the transport does not close standard input.
				return client.ImportDevicesWithBody(ctx, args[0], &apitype.ImportDevicesParams{DryRun: &c.dryRun}, "text/csv", io.MultiReader(in))
			})
		},
	}
	jobFlags(cmd, &noWait, &result)
	return cmd
}

func jobFlags(cmd *cobra.Command, noWait *bool, result *string) {
	cmd.Flags().BoolVar(noWait, "no-wait", false, "do not follow the job, only start it")
	cmd.Flags().StringVar(result, "result", "", "save the result there (0600), - for standard output")
}

func newDeviceBulk(c *cli) *cobra.Command {
	var noWait bool
	var result, product, state string
	var body apitype.DeviceBulk
	cmd := &cobra.Command{
		Use:   "bulk ACTION",
		Short: "Do something to every device that a filter takes",
		Long: `Do something to every device of the project that a filter takes, as a job; with
--product, of that product. ACTION is

  enable, disable    as for one device
  reset              make it inactive, so that it may register dynamically again
  reset-secret       … with a new secret, which is in the result
  delete             with all that is kept about it
  tag                set --tag NAME=VALUE, take --drop-tag NAME away
  add-to-group       put it into the group of members --group
  remove-from-group  take it out

Without --filter, --state or --product it is every device of the project, which
wants --all. --dry-run says in the result what would be changed. See hawserctl help
jobs.`,
		Example: `  hawserctl device bulk disable --product 70ly1tvowt696r15 --state offline --dry-run
  hawserctl device bulk tag --tag site=north --filter 'sn:cellar-*'
  hawserctl device bulk reset-secret --filter 'tag.site=north' --result secrets.csv`,
		Args: exactArgs("ACTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, _ := cmd.Flags().GetBool("all") // it is there
			switch {
			case noWait && result != "":
				return usageError{errors.New("--no-wait and --result exclude each other: the result is there when the job has ended")}
			case !all && product == "" && state == "" && body.Filter == "":
				return usageError{errors.New("this is every device of the project: narrow it with --filter, --state or --product, or say --all")}
			}
			body.Action, body.State = apitype.DeviceBulkAction(args[0]), apitype.DeviceState(state)
			return c.runJob(cmd.Context(), noWait, result, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				if product != "" {
					return client.BulkDevices(ctx, product, &apitype.BulkDevicesParams{DryRun: &c.dryRun}, body)
				}
				return client.BulkFleet(ctx, &apitype.BulkFleetParams{DryRun: &c.dryRun}, body)
			})
		},
	}
	jobFlags(cmd, &noWait, &result)
	f := cmd.Flags()
	f.StringVar(&product, "product", "", "only devices of this product")
	f.StringVar(&state, "state", "", "only inactive, online, offline or disabled ones")
	f.StringVar(&body.Filter, "filter", "", "only devices that it takes: state:offline tag.site=north …")
	f.Bool("all", false, "really every device of the project")
	f.StringToStringVar(&body.Tags, "tag", nil, "NAME=VALUE to set, of the action tag")
	f.StringSliceVar(&body.DropTags, "drop-tag", nil, "NAME to take away, of the action tag")
	f.StringVar(&body.Group, "group", "", "of the actions add-to-group and remove-from-group")
	return cmd
}
