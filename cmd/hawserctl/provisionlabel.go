package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cmd/hawserctl/label"
)

func newProvisionLabel(c *cli) *cobra.Command {
	var out, from, text string
	var sheet label.Sheet
	cmd := &cobra.Command{
		Use:   "label P [D…]",
		Short: "Draw a sheet of labels with a QR code for each device",
		Long: `Draw a sheet of labels, each 70 × 30 mm, with a QR code and the names of a device: an
SVG for a printer, or a PNG. The devices are those that are named, those of a report of
provision batch, or all of the product.

No secret is in a label. --text is what the code says, with {product} and {device} in it.`,
		Example: `  hawserctl provision label 70ly1tvowt696r15 gw-1 gw-2 --out labels.svg
  hawserctl provision label 70ly1tvowt696r15 --from report.csv --out labels.png
  hawserctl provision label 70ly1tvowt696r15 --text 'https://hub.example/console/#/devices/{product}/{device}' --out labels.svg`,
		Args: rangeArgs(1, -1, "P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ext := strings.ToLower(filepath.Ext(out))
			switch {
			case ext != ".svg" && ext != ".png":
				return usageError{errors.New("--out is missing: a file that ends in .svg or .png")}
			case from != "" && len(args) > 1:
				return usageError{errors.New("--from and devices exclude each other")}
			}
			devices, err := c.labelled(cmd.Context(), args[0], args[1:], from)
			if err != nil {
				return err
			}
			var labels []label.Label
			for _, sn := range devices {
				labels = append(labels, label.Label{Code: label.Expand(text, args[0], sn), Lines: wrap(sn, args[0])})
			}
			draw := sheet.SVG
			if ext == ".png" {
				draw = sheet.PNG
			}
			var b bytes.Buffer
			if err := draw(&b, labels); err != nil {
				return usageError{err}
			}
			if !c.dryRun {
				if err := os.WriteFile(out, b.Bytes(), 0o644); err != nil {
					return usageError{err}
				}
			}
			return c.printValue(map[string]any{"file": out, "labels": len(labels)})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the file to write: .svg or .png")
	cmd.Flags().StringVar(&from, "from", "", "report of provision batch: a label for each device that is ok")
	cmd.Flags().StringVar(&text, "text", "hawser:{product}/{device}", "what the code says")
	cmd.Flags().IntVar(&sheet.Columns, "columns-of-labels", 3, "labels in a row")
	return cmd
}

// wrap are the lines of a label: the device, in two when it is long, and the product.
func wrap(sn, product string) []string {
	const most = 32
	if len(sn) > most {
		return []string{sn[:most], sn[most:], product}
	}
	return []string{sn, product}
}

// labelled are the devices that get a label.
func (c *cli) labelled(ctx context.Context, product string, named []string, from string) ([]string, error) {
	if len(named) > 0 {
		return named, nil
	}
	if from != "" {
		rows, err := readTable(from, reportColumns...)
		if err != nil {
			return nil, usageError{err}
		}
		for _, row := range rows {
			if row["state"] == "ok" {
				named = append(named, row["deviceSN"])
			}
		}
		return named, nil
	}
	items, err := c.all(ctx, 0, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
		return client.ListDevices(ctx, product, &apitype.ListDevicesParams{Limit: limit, Cursor: cursor})
	})
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		node, err := toYAML(item)
		if err != nil {
			return nil, fmt.Errorf("read the hub's answer: %w", err)
		}
		named = append(named, member(node, "deviceSN").Value)
	}
	return named, nil
}
