package main

import (
	"context"
	"errors"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newFirmware(c *cli) *cobra.Command {
	return group("firmware", "Firmware of products, its images and its signatures: add, list, info, get, delete; push, releases, release, trust, director; index, pack, diff, apply; keygen, root, build, sign, verify, inspect", `  hawserctl firmware build thermo.bin --class example.com/thermo-2 --version 2.0 --sequence 7 --key release-anna.pem
  hawserctl firmware verify thermo.bin.suit --root root.1
  hawserctl firmware push 70ly1tvowt696r15 thermo.bin.suit --image default=thermo.bin
  hawserctl firmware add 70ly1tvowt696r15 thermo.bin --version 2.0
  hawserctl firmware list 70ly1tvowt696r15
  hawserctl ota start 70ly1tvowt696r15 412233445566778899 --device cellar-1`,
		newFirmwareAdd(c), newFirmwareList(c), newFirmwareGet(c),
		newFirmwarePush(c), newFirmwareReleases(c), newFirmwareRelease(c), newFirmwareTrust(c), newFirmwareDirector(c),
		firmwareCall(c, "info", "Show what is known of a firmware", func(ctx context.Context, client *apiclient.Client, product, id string) (*http.Response, error) {
			return client.GetFirmware(ctx, product, id)
		}),
		firmwareCall(c, "delete", "Delete a firmware that no device is still to get, or a signed release", func(ctx context.Context, client *apiclient.Client, product, id string) (*http.Response, error) {
			return client.DeleteFirmware(ctx, product, id)
		}),
		newFirmwareKeygen(c), newFirmwareRoot(c), newFirmwareBuild(c), newFirmwareSign(c), newFirmwareVerify(c), newFirmwareInspect(c),
		newFirmwareIndex(c), newFirmwarePack(c), newFirmwareDiff(c), newFirmwareApply(c))
}

func firmwareCall(c *cli, verb, short string, call func(ctx context.Context, client *apiclient.Client, product, id string) (*http.Response, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " PRODUCT FIRMWARE",
		Short:   short,
		Example: "  hawserctl firmware " + verb + " 70ly1tvowt696r15 412233445566778899",
		Args:    exactArgs("PRODUCT", "FIRMWARE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return call(ctx, client, args[0], args[1])
			})
		},
	}
}

func newFirmwareAdd(c *cli) *cobra.Command {
	var version, module, description, needs string
	var requires []string
	cmd := &cobra.Command{
		Use:   "add PRODUCT FILE",
		Short: "Add a firmware from a file, - for standard input",
		Long: `Add a firmware from a file, - for standard input.

The file is served to devices as it is. A product has at most 10 modules, a module
10 firmwares.

What a firmware needs before it is installed: a version of its own module (--needs) and
of others (--requires). Tasks and campaigns bring devices these first.`,
		Example: `  hawserctl firmware add 70ly1tvowt696r15 thermo.bin --version 2.0
  hawserctl firmware add 70ly1tvowt696r15 radio.bin --version 1.4 --module radio
  hawserctl firmware add 70ly1tvowt696r15 thermo.bin --version 3.0 --needs 2.0
  hawserctl firmware add 70ly1tvowt696r15 thermo.bin --version 4.0 --requires 'radio>=1.4 <2'`,
		Args: exactArgs("PRODUCT", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if version == "" {
				return usageError{errors.New("--version is missing")}
			}
			body := c.in
			if args[1] != "-" {
				f, err := os.Open(args[1])
				if err != nil {
					return usageError{err}
				}
				defer func() { _ = f.Close() }() // it was only read
				body = f
			}
			params := apitype.AddFirmwareParams{Version: version, Module: optional(module), Description: optional(description), Needs: optional(needs), Requires: requires}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.AddFirmwareWithBody(ctx, args[0], &params, "application/octet-stream", body)
			})
		},
	}
	cmd.Flags().StringVar(&version, "version", "", "version: 1 to 32 of A-Z a-z 0-9 . _ -")
	cmd.Flags().StringVar(&module, "module", "", "module that it is for; default is called default")
	cmd.Flags().StringVar(&description, "description", "", "description")
	cmd.Flags().StringVar(&needs, "needs", "", "version that a device must have at least; tasks and campaigns bring others that one first")
	cmd.Flags().StringArrayVar(&requires, "requires", nil, "versions that another module must have, as 'radio>=1.4 <2'; may be given for several")
	return cmd
}

func newFirmwareList(c *cli) *cobra.Command {
	var module string
	var ch choice
	cmd := &cobra.Command{
		Use:     "list PRODUCT",
		Short:   "List the firmwares of a product, newest first",
		Example: "  hawserctl firmware list 70ly1tvowt696r15 --module radio\n  hawserctl firmware list 70ly1tvowt696r15 --filter 'signed:yes version:2*' --sort -size",
		Args:    exactArgs("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, sort := ch.parts()
			items, err := c.all(cmd.Context(), 0, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListFirmwares(ctx, args[0], &apitype.ListFirmwaresParams{Module: optional(module), Filter: filter, Sort: sort, Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "firmwareID", "module", "version", "size", "createdAt", "description")
		},
	}
	cmd.Flags().StringVar(&module, "module", "", "only those of this module")
	ch.add(cmd, "version, module, description, signed (yes, no), needs, size, sha256", "version, module, signed, size")
	return cmd
}

func newFirmwareGet(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "get PRODUCT FIRMWARE",
		Short:   "Download a firmware's file",
		Example: "  hawserctl firmware get 70ly1tvowt696r15 412233445566778899 --file thermo.bin",
		Args:    exactArgs("PRODUCT", "FIRMWARE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.download(cmd.Context(), file, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetFirmwareContent(ctx, args[0], args[1])
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "-", "where to; - is standard output")
	return cmd
}

func newDeviceVersions(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "versions PRODUCT DEVICE",
		Short:   "The versions that a device says it runs, and the update that it is to get",
		Example: "  hawserctl device versions 70ly1tvowt696r15 cellar-1",
		Args:    exactArgs("PRODUCT", "DEVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := c.all(cmd.Context(), 0, func(ctx context.Context, client *apiclient.Client, _ *int, _ *string) (*http.Response, error) {
				return client.ListVersions(ctx, args[0], args[1])
			})
			if err != nil {
				return err
			}
			return c.printList(items, "module", "version", "reportedAt", "update.version", "update.state", "update.percent")
		},
	}
}
