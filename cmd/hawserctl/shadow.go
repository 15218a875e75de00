package main

import (
	"context"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newShadow(c *cli) *cobra.Command {
	return group("shadow", "A device's shadow: get, set", `  hawserctl shadow get 70ly1tvowt696r15 cellar-1
  hawserctl shadow set 70ly1tvowt696r15 cellar-1 target=21.5`, newShadowGet(c), newShadowSet(c))
}

func newShadowGet(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "get P D",
		Short:   "Get the shadow",
		Example: "  hawserctl shadow get 70ly1tvowt696r15 cellar-1 -o json | jq .state.reported",
		Args:    exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetShadow(ctx, args[0], args[1])
			})
		},
	}
}

func newShadowSet(c *cli) *cobra.Command {
	var revision int64
	cmd := &cobra.Command{
		Use:   "set P D JSON|KEY=VALUE…|-",
		Short: "Change desired values; null deletes one",
		Long: `Change desired values: a JSON object, KEY=VALUE pairs, or - for a JSON object on
standard input. A VALUE that is JSON is taken as such, everything else as a
string. null deletes a desired value.`,
		Example: `  hawserctl shadow set 70ly1tvowt696r15 cellar-1 '{"target":21.5,"mode":"eco"}'
  hawserctl shadow set 70ly1tvowt696r15 cellar-1 target=21.5 mode=eco
  hawserctl shadow set 70ly1tvowt696r15 cellar-1 target=null --if-revision 7`,
		Args: rangeArgs(3, -1, "P (productSN)", "D (deviceSN)", "JSON, KEY=VALUE or -"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var body apitype.ShadowPatch
			var err error
			if body.State.Desired, err = c.object(args[2:]); err != nil {
				return err
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UpdateShadow(ctx, args[0], args[1], &apitype.UpdateShadowParams{}, body,
					ifMatch(cmd.Flags().Changed("if-revision"), revision))
			})
		},
	}
	cmd.Flags().Int64Var(&revision, "if-revision", 0, "only if the shadow still has this revision")
	return cmd
}

// ifMatch sets the header itself: the generated client would percent-encode its quotes.
func ifMatch(given bool, revision int64) apiclient.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		if given {
			r.Header.Set("If-Match", strconv.Quote(strconv.FormatInt(revision, 10)))
		}
		return nil
	}
}
