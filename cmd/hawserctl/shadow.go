package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newShadow(c *cli) *cobra.Command {
	return group("shadow", "A device's shadow: get, set, patch, delete, reset, history, watch", `  hawserctl shadow get 70ly1tvowt696r15 cellar-1
  hawserctl shadow set 70ly1tvowt696r15 cellar-1 target=21.5
  hawserctl shadow patch 70ly1tvowt696r15 cellar-1 '{"net":{"dns":"10.0.0.1"}}'
  hawserctl shadow history 70ly1tvowt696r15 cellar-1`,
		newShadowGet(c),
		newShadowSet(c, shadowSet{verb: "set", short: "Change desired values; null deletes one", long: "Change desired values"}),
		newShadowSet(c, shadowSet{verb: "patch", merge: true, short: "Change desired values, within objects too",
			long: "Change desired values; of an object only the keys that are named (RFC 7396)"}),
		newShadowDelete(c), newShadowReset(c), newShadowHistory(c), newShadowWatch(c))
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

// shadowSet is one of the two ways to change desired values.
type shadowSet struct {
	verb, short, long string
	merge             bool
}

func newShadowSet(c *cli, v shadowSet) *cobra.Command {
	var revision int64
	cmd := &cobra.Command{
		Use:   v.verb + " P D JSON|KEY=VALUE…|-",
		Short: v.short,
		Long: v.long + `: a JSON object, KEY=VALUE pairs, or - for a
JSON object on standard input. A VALUE that is JSON is taken as such, everything
else as a string. null deletes a desired value.`,
		Example: "  hawserctl shadow " + v.verb + ` 70ly1tvowt696r15 cellar-1 '{"target":21.5,"mode":"eco"}'
  hawserctl shadow ` + v.verb + ` 70ly1tvowt696r15 cellar-1 target=21.5 mode=eco
  hawserctl shadow ` + v.verb + ` 70ly1tvowt696r15 cellar-1 target=null --if-revision 7`,
		Args: rangeArgs(3, -1, "P (productSN)", "D (deviceSN)", "JSON, KEY=VALUE or -"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var body apitype.ShadowPatch
			var err error
			if body.State.Desired, err = c.object(args[2:]); err != nil {
				return err
			}
			if v.merge {
				body.Merge = &v.merge
			}
			return c.changeShadow(cmd, args, body, revision)
		},
	}
	ifRevision(cmd, &revision)
	return cmd
}

func ifRevision(cmd *cobra.Command, revision *int64) {
	cmd.Flags().Int64Var(revision, "if-revision", 0, "only if the shadow still has this revision")
}

// changeShadow changes desired values and prints the shadow.
func (c *cli) changeShadow(cmd *cobra.Command, args []string, body apitype.ShadowPatch, revision int64) error {
	return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.UpdateShadow(ctx, args[0], args[1], &apitype.UpdateShadowParams{}, body,
			ifMatch(cmd.Flags().Changed("if-revision"), revision))
	})
}

func newShadowDelete(c *cli) *cobra.Command {
	var revision int64
	var all bool
	cmd := &cobra.Command{
		Use:   "delete P D KEY…",
		Short: "Delete desired values",
		Long:  "Delete desired values: those of the keys, or with --all all of them. What the device reported stays.",
		Example: `  hawserctl shadow delete 70ly1tvowt696r15 cellar-1 target mode
  hawserctl shadow delete 70ly1tvowt696r15 cellar-1 --all`,
		Args: rangeArgs(2, -1, "P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 2) {
				return usageError{errors.New("name the keys, or say --all")}
			}
			var body apitype.ShadowPatch
			gone := map[string]any{}
			for _, key := range args[2:] {
				gone[key] = nil
			}
			desired, err := json.Marshal(gone)
			if err != nil {
				return err
			}
			if all {
				desired = json.RawMessage("null")
			}
			body.State.Desired = desired
			return c.changeShadow(cmd, args, body, revision)
		},
	}
	ifRevision(cmd, &revision)
	cmd.Flags().BoolVar(&all, "all", false, "delete all desired values")
	return cmd
}

func newShadowReset(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "reset P D",
		Short: "Make the shadow an empty one",
		Long: `Make the shadow an empty one: nothing reported or desired, the devices' version
0 again. The device learns of it with its next request.`,
		Example: "  hawserctl shadow reset 70ly1tvowt696r15 cellar-1",
		Args:    exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.ResetShadow(ctx, args[0], args[1], &apitype.ResetShadowParams{})
			})
		},
	}
}

func newShadowHistory(c *cli) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "history P D",
		Short:   "What changed, when and by whom, newest first",
		Example: "  hawserctl shadow history 70ly1tvowt696r15 cellar-1 --limit 5 -o json",
		Args:    exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := c.all(cmd.Context(), limit, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListShadowChanges(ctx, args[0], args[1], &apitype.ListShadowChangesParams{Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "at", "revision", "version", "by", "name", "change")
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many; 0 is all")
	return cmd
}

func newShadowWatch(c *cli) *cobra.Command {
	w := watch{cli: c}
	cmd := &cobra.Command{
		Use:   "watch P [D]",
		Short: "Show shadow requests, replies and documents, live",
		Example: `  hawserctl shadow watch 70ly1tvowt696r15 cellar-1
  hawserctl shadow watch 70ly1tvowt696r15 -o json`,
		Args: rangeArgs(1, 2, "P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			w.params.Product = &args[0]
			if len(args) > 1 {
				w.params.Device = &args[1]
			}
			w.params.Type = &[]apitype.EventType{"shadow"}
			return w.run(cmd.Context())
		},
	}
	cmd.Flags().IntVar(&w.stream.count, "count", 0, "end after so many events")
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
