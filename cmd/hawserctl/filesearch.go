package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newFileSearch(c *cli) *cobra.Command {
	var device, name, class, from, to string
	var least, largest int64
	var most int
	cmd := &cobra.Command{
		Use:   "search PRODUCT",
		Short: "Find files of a product's devices, newest first",
		Example: `  hawserctl file search 70ly1tvowt696r15 --class image --from 24h
  hawserctl file search 70ly1tvowt696r15 --device cellar-1 --name '*.log' --min-size 1000000
  hawserctl file search 70ly1tvowt696r15 --from 2026-01-31T00:00:00Z --limit 0 -o csv`,
		Args: exactArgs("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			f := cmd.Flags()
			p := &apitype.SearchFilesParams{Device: given(f, "device", &device), Name: given(f, "name", &name), Class: given(f, "class", &class),
				MinSize: given(f, "min-size", &least), MaxSize: given(f, "max-size", &largest)}
			if p.From, err = moment("--from", from); err != nil {
				return err
			}
			if p.To, err = moment("--to", to); err != nil {
				return err
			}
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				p.Limit, p.Cursor = limit, cursor
				return client.SearchFiles(ctx, args[0], p)
			})
			if err != nil {
				return err
			}
			return c.printList(items, "fileID", "deviceSN", "name", "size", "class", "receivedAt")
		},
	}
	f := cmd.Flags()
	f.StringVar(&device, "device", "", "of this device")
	f.StringVar(&name, "name", "", "with this name; * stands for any characters")
	f.StringVar(&class, "class", "", "of this class")
	f.StringVar(&from, "from", "", "received from then on: 2h, 7d (ago) or 2026-01-31T08:00:00Z")
	f.StringVar(&to, "to", "", "received before then, likewise")
	f.Int64Var(&least, "min-size", 0, "of at least so many bytes")
	f.Int64Var(&largest, "max-size", 0, "of at most so many bytes")
	limitFlag(cmd, &most)
	return cmd
}

func newFilePolicy(c *cli) *cobra.Command {
	var p apitype.FilePolicy
	var keep string
	cmd := &cobra.Command{
		Use:   "policy PRODUCT",
		Short: "Show or set what a product's devices may send as files",
		Long: `Show what a product's devices may send as files, or set what flags name. 0 is as
the hub has it. It holds for files that come from then on.`,
		Example: `  hawserctl file policy 70ly1tvowt696r15
  hawserctl file policy 70ly1tvowt696r15 --max-size 100000000 --keep 30d --class image --class log`,
		Args: exactArgs("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			get := func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetFilePolicy(ctx, args[0])
			}
			f := cmd.Flags()
			changes := false
			for _, name := range []string{"max-size", "max-files", "max-bytes", "product-bytes", "keep", "class"} {
				changes = changes || f.Changed(name)
			}
			if !changes {
				return c.show(cmd.Context(), get)
			}
			b, err := c.do(cmd.Context(), get)
			if err != nil {
				return err
			}
			var now apitype.FilePolicy
			if err := json.Unmarshal(b, &now); err != nil {
				return fmt.Errorf("read the hub's answer: %w", err)
			}
			for name, v := range map[string][2]*int64{"max-size": {&now.MaxSize, &p.MaxSize}, "max-files": {&now.MaxFiles, &p.MaxFiles},
				"max-bytes": {&now.MaxBytes, &p.MaxBytes}, "product-bytes": {&now.ProductBytes, &p.ProductBytes}} {
				if f.Changed(name) {
					*v[0] = *v[1]
				}
			}
			if f.Changed("class") {
				now.Classes = append([]string{}, p.Classes...)
			}
			if f.Changed("keep") {
				if now.KeepSeconds, err = keepOf(keep); err != nil {
					return err
				}
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.SetFilePolicy(ctx, args[0], now)
			})
		},
	}
	f := cmd.Flags()
	f.Int64Var(&p.MaxSize, "max-size", 0, "largest file, bytes")
	f.Int64Var(&p.MaxFiles, "max-files", 0, "files a device")
	f.Int64Var(&p.MaxBytes, "max-bytes", 0, "bytes of all files of a device")
	f.Int64Var(&p.ProductBytes, "product-bytes", 0, "bytes of all files of the product")
	f.StringVar(&keep, "keep", "", "how long files are kept: 30d, 12h, forever, or default")
	f.StringSliceVar(&p.Classes, "class", nil, "a class that is taken; may be given several times, and '' takes all again")
	return cmd
}

// keepOf is --keep in seconds.
func keepOf(text string) (int64, error) {
	switch text {
	case "default":
		return 0, nil
	case "forever":
		return -1, nil
	}
	d, err := age(text)
	if err != nil || d < time.Hour {
		return 0, usageError{fmt.Errorf("--keep %q: is no time such as 30d or 12h, forever or default", text)}
	}
	return int64(d / time.Second), nil
}
