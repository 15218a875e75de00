package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
)

func newInfo(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "info",
		Short:   "Show the hub's version and addresses",
		Example: "  hawserctl info",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetInfo(ctx)
			})
		},
	}
}

func newVersion(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version of hawserctl",
		Example: "  hawserctl version -o json",
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			if c.output == asTable || c.output == asWide {
				_, err := fmt.Fprintf(c.out, "hawserctl %s (%s %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			}
			b, err := json.Marshal(map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
			if err != nil {
				return err
			}
			return c.printOne(b)
		},
	}
}
