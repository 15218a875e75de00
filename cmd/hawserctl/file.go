package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newFile(c *cli) *cobra.Command {
	return group("file", "Files that devices have sent: list, search, info, get, link, delete, policy, uploads", `  hawserctl file list 70ly1tvowt696r15 cellar-1
  hawserctl file search 70ly1tvowt696r15 --class image --from 24h
  hawserctl file get 70ly1tvowt696r15 cellar-1 412233445566778899 --file cam.log`,
		newFileList(c), newFileSearch(c), newFileGet(c), newFileLink(c), newFilePolicy(c), newFileUploads(c),
		fileCall(c, "info", "Show what is known of a file", func(ctx context.Context, client *apiclient.Client, product, device, id string) (*http.Response, error) {
			return client.GetFile(ctx, product, device, id)
		}),
		fileCall(c, "delete", "Delete a file", func(ctx context.Context, client *apiclient.Client, product, device, id string) (*http.Response, error) {
			return client.DeleteFile(ctx, product, device, id)
		}))
}

func fileCall(c *cli, verb, short string, call func(ctx context.Context, client *apiclient.Client, product, device, id string) (*http.Response, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " PRODUCT DEVICE FILEID",
		Short:   short,
		Example: "  hawserctl file " + verb + " 70ly1tvowt696r15 cellar-1 412233445566778899",
		Args:    exactArgs("PRODUCT", "DEVICE", "FILEID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return call(ctx, client, args[0], args[1], args[2])
			})
		},
	}
}

func newFileList(c *cli) *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use:     "list PRODUCT DEVICE",
		Short:   "List the files that a device has sent, newest first",
		Example: "  hawserctl file list 70ly1tvowt696r15 cellar-1 -o json",
		Args:    exactArgs("PRODUCT", "DEVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListFiles(ctx, args[0], args[1], &apitype.ListFilesParams{Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "fileID", "name", "size", "receivedAt", "md5")
		},
	}
	limitFlag(cmd, &most)
	return cmd
}

// download writes the body of an answer to a file, which must be new, or to standard output.
func (c *cli) download(ctx context.Context, file string, get request) (err error) {
	resp, err := c.open(ctx, get)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	out := c.out
	if file != "-" {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return usageError{err}
		}
		defer func() {
			if err = errors.Join(err, f.Close()); err != nil {
				_ = os.Remove(file) // half of it is of no use
			}
		}()
		out = f
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	return nil
}
