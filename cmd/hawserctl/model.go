package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

var modelFormats = []string{"native", "wrapped", "tsl", "wot"}

func newModel(c *cli) *cobra.Command {
	return group("model", "Thing models: get, set, import, export, versions, diff, publish, unpublish, restore",
		`  hawserctl model get 70ly1tvowt696r15 > model.json
  hawserctl model import 70ly1tvowt696r15 pump.td.json --dry-run
  hawserctl model diff 70ly1tvowt696r15
  hawserctl model publish 70ly1tvowt696r15 --note 'first series'`,
		newModelGet(c, "model"), newModelSet(c, "model"), newModelImport(c), newModelExport(c), newModelVersions(c), newModelDiff(c),
		newModelPublish(c), newModelUnpublish(c), newModelRestore(c))
}

// newModelGet is part of the group of that path.
func newModelGet(c *cli, group string) *cobra.Command {
	var version int64
	cmd := &cobra.Command{
		Use:     "get P",
		Short:   "Print the thing model (always JSON, or YAML with -o yaml)",
		Example: "  hawserctl " + group + " get 70ly1tvowt696r15 > model.json\n  hawserctl " + group + " get 70ly1tvowt696r15 --version 2",
		Args:    exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if version == 0 {
				return c.showModel(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
					return client.GetThingModel(ctx, args[0])
				})
			}
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetModelVersion(ctx, args[0], version)
			})
			if err != nil {
				return err
			}
			return c.printMember(b, "thingModel")
		},
	}
	cmd.Flags().Int64Var(&version, "version", 0, "the one that was published as this version")
	return cmd
}

func newModelSet(c *cli, group string) *cobra.Command {
	return &cobra.Command{
		Use:     "set P FILE",
		Short:   "Set the thing model from a JSON file, - for standard input",
		Example: "  hawserctl " + group + " set 70ly1tvowt696r15 model.json",
		Args:    exactArgs("P (productSN)", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			model, err := c.document(args[1])
			if err != nil {
				return err
			}
			return c.showModel(cmd.Context(), setModel(args[0], model))
		},
	}
}

// document reads a JSON object from a file.
func (c *cli) document(name string) (json.RawMessage, error) {
	b, err := c.readFile(name)
	if err != nil {
		return nil, err
	}
	return checkObject(b)
}

func newModelImport(c *cli) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "import P FILE",
		Short: "Set the thing model from a document in another notation, - for standard input",
		Long: `Set the thing model from a document: the native form, with or without
{"Template":…} round it, TSL, or a W3C Web of Things Thing Model or Thing
Description. What the document has and a thing model here has not is listed on
standard error, what changes on standard output. With --dry-run nothing changes.`,
		Example: `  hawserctl model import 70ly1tvowt696r15 pump.td.json --dry-run
  hawserctl model import 70ly1tvowt696r15 thermostat.json --format tsl`,
		Args: exactArgs("P (productSN)", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := apitype.ModelImport{Format: apitype.ModelFormat(format)}
			var err error
			if body.Document, err = c.document(args[1]); err != nil {
				return err
			}
			b, err := c.do(checkedByHub(cmd.Context()), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.ImportThingModel(ctx, args[0], &apitype.ImportThingModelParams{DryRun: &c.dryRun}, body)
			})
			if err != nil {
				return err
			}
			return c.printChanges(b)
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "native, wrapped, tsl or wot; without it the hub finds out")
	return cmd
}

func newModelExport(c *cli) *cobra.Command {
	var format string
	var version int64
	cmd := &cobra.Command{
		Use:   "export P",
		Short: "Print the thing model in another notation",
		Long: `Print the thing model in another notation. What the notation cannot hold is
listed on standard error.`,
		Example: `  hawserctl model export 70ly1tvowt696r15 --format wot > pump.tm.json
  hawserctl model export 70ly1tvowt696r15 --format tsl --version 2`,
		Args: exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			params := &apitype.ExportThingModelParams{Format: (*apitype.ModelFormat)(&format)}
			if version != 0 {
				params.Version = &version
			}
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.ExportThingModel(ctx, args[0], params)
			})
			if err != nil {
				return err
			}
			if err := c.printLosses(b); err != nil {
				return err
			}
			return c.printMember(b, "document")
		},
	}
	cmd.Flags().StringVar(&format, "format", "native", "native, wrapped, tsl or wot")
	cmd.Flags().Int64Var(&version, "version", 0, "the one that was published as this version")
	return cmd
}

// printMember prints a member of an answer that no table could hold.
func (c *cli) printMember(b json.RawMessage, name string) error {
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(b, &answer); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	if !c.raw() {
		c.output = asJSON
	}
	return c.printRaw(answer[name])
}

// printLosses tells on standard error what got lost between two notations.
func (c *cli) printLosses(b json.RawMessage) error {
	var answer struct{ Losses []apitype.ModelLoss }
	if err := json.Unmarshal(b, &answer); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	for _, l := range answer.Losses {
		fmt.Fprintf(c.errOut, "lost: %s: %s\n", l.Path, l.Reason)
	}
	return nil
}

// printChanges prints a line for each entry and each field that changes.
func (c *cli) printChanges(b json.RawMessage) error {
	if err := c.printLosses(b); err != nil {
		return err
	}
	if c.raw() {
		return c.printRaw(b)
	}
	var answer apitype.ModelDiff
	if err := json.Unmarshal(b, &answer); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	var rows []json.RawMessage
	add := func(change apitype.ModelChange, field apitype.ModelFieldChange) error {
		row, err := json.Marshal(map[string]any{"kind": change.Kind, "identifier": change.Identifier, "change": change.Change,
			"path": field.Path, "from": field.From, "to": field.To, "breaking": field.Breaking})
		rows = append(rows, row)
		return err
	}
	for _, change := range answer.Changes {
		fields := change.Fields
		if len(fields) == 0 {
			fields = []apitype.ModelFieldChange{{Breaking: change.Breaking}}
		}
		for _, field := range fields {
			if err := add(change, field); err != nil {
				return err
			}
		}
	}
	return c.printList(rows, "kind", "identifier", "change", "path", "from", "to", "breaking")
}

func newModelVersions(c *cli) *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use:     "versions P",
		Short:   "List what was published, newest first",
		Example: "  hawserctl model versions 70ly1tvowt696r15",
		Args:    exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListModelVersions(ctx, args[0], &apitype.ListModelVersionsParams{Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "number", "publishedAt", "publishedBy", "note")
		},
	}
	limitFlag(cmd, &most)
	return cmd
}

func newModelDiff(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "diff P [FROM] [TO]",
		Short: "Compare versions of the thing model",
		Long: `Compare versions of the thing model. FROM and TO are numbers of versions; without
FROM it is the newest that was published, without TO what the product has now.`,
		Example: `  hawserctl model diff 70ly1tvowt696r15
  hawserctl model diff 70ly1tvowt696r15 1 2 -o json | jq .breaking`,
		Args: rangeArgs(1, 3, "P (productSN)", "FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var params apitype.DiffThingModelParams
			for i, p := range []**int64{&params.From, &params.To} {
				if len(args) > i+1 {
					n, err := versionNumber(args[i+1])
					if err != nil {
						return err
					}
					*p = &n
				}
			}
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.DiffThingModel(ctx, args[0], &params)
			})
			if err != nil {
				return err
			}
			return c.printChanges(b)
		},
	}
}

func versionNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, usageError{fmt.Errorf("%q is not the number of a version", text)}
	}
	return n, nil
}

func newModelPublish(c *cli) *cobra.Command {
	var body apitype.Publishing
	cmd := &cobra.Command{
		Use:     "publish P",
		Short:   "Freeze the thing model and keep it as a version",
		Example: "  hawserctl model publish 70ly1tvowt696r15 --note 'first series'",
		Args:    exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.PublishProduct(ctx, args[0], body)
			})
			if err != nil {
				return err
			}
			if c.raw() {
				return c.printRaw(b)
			}
			return c.printList([]json.RawMessage{b}, "number", "publishedAt", "publishedBy", "note")
		},
	}
	cmd.Flags().StringVar(&body.Note, "note", "", "what the version is about")
	return cmd
}

func newModelUnpublish(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "unpublish P",
		Short:   "Let the thing model be changed again",
		Example: "  hawserctl model unpublish 70ly1tvowt696r15",
		Args:    exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UnpublishProduct(ctx, args[0])
			})
		},
	}
}

func newModelRestore(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "restore P VERSION",
		Short:   "Make a published version the present thing model again",
		Example: "  hawserctl model restore 70ly1tvowt696r15 1",
		Args:    exactArgs("P (productSN)", "VERSION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := versionNumber(args[1])
			if err != nil {
				return err
			}
			return c.showModel(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.RestoreModelVersion(ctx, args[0], n)
			})
		},
	}
}
