package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newFileUploads(c *cli) *cobra.Command {
	return group("uploads", "Files that are still coming in parts: list, info, cancel", `  hawserctl file uploads list 70ly1tvowt696r15
  hawserctl file uploads cancel 70ly1tvowt696r15 cellar-1 412233445566778899`,
		newFileUploadsList(c),
		uploadCall(c, "info", "Show how far an upload is", "", func(ctx context.Context, client *apiclient.Client, product, device, id string) (*http.Response, error) {
			return client.GetUpload(ctx, product, device, id)
		}),
		uploadCall(c, "cancel", "End an upload and remove what has come of it",
			"End an upload and remove what has come of it. The device is refused the same file for\na day; another content under the same key is taken.",
			func(ctx context.Context, client *apiclient.Client, product, device, id string) (*http.Response, error) {
				return client.CancelUpload(ctx, product, device, id)
			}))
}

func uploadCall(c *cli, verb, short, long string, call func(ctx context.Context, client *apiclient.Client, product, device, id string) (*http.Response, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " PRODUCT DEVICE UPLOADID",
		Short:   short,
		Long:    long,
		Example: "  hawserctl file uploads " + verb + " 70ly1tvowt696r15 cellar-1 412233445566778899",
		Args:    exactArgs("PRODUCT", "DEVICE", "UPLOADID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return call(ctx, client, args[0], args[1], args[2])
			})
		},
	}
}

func newFileUploadsList(c *cli) *cobra.Command {
	var device string
	var most int
	cmd := &cobra.Command{
		Use:   "list PRODUCT",
		Short: "List the files of a product's devices that are still coming in parts, newest first",
		Example: `  hawserctl file uploads list 70ly1tvowt696r15
  hawserctl file uploads list 70ly1tvowt696r15 --device cellar-1 -o json`,
		Args: exactArgs("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListUploads(ctx, args[0], &apitype.ListUploadsParams{Device: given(cmd.Flags(), "device", &device), Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "uploadID", "deviceSN", "name", "stored", "size", "progressAt")
		},
	}
	cmd.Flags().StringVar(&device, "device", "", "of this device")
	limitFlag(cmd, &most)
	return cmd
}
