package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newScript(c *cli) *cobra.Command {
	return group("script", "Parse scripts: get, set, delete, try, versions", `  hawserctl script try 70ly1tvowt696r15 --file meter.js --hex 0100d70037
  hawserctl script set 70ly1tvowt696r15 meter.js --note 'second register'
  hawserctl script versions 70ly1tvowt696r15`,
		newScriptGet(c), newScriptSet(c), newScriptDelete(c), newScriptTry(c), newScriptVersions(c))
}

func newScriptGet(c *cli) *cobra.Command {
	var version int64
	cmd := &cobra.Command{
		Use:     "get P",
		Short:   "Print the script, or one of its versions",
		Long:    "Print the script's source, or with -o json or yaml all that is known of it.",
		Example: "  hawserctl script get 70ly1tvowt696r15 > meter.js\n  hawserctl script get 70ly1tvowt696r15 --version 2 -o json",
		Args:    exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				if version != 0 {
					return client.GetScriptVersion(ctx, args[0], version)
				}
				return client.GetScript(ctx, args[0])
			})
			if err != nil {
				return err
			}
			if c.raw() {
				return c.printRaw(b)
			}
			var s apitype.Script
			if err := json.Unmarshal(b, &s); err != nil {
				return fmt.Errorf("read the hub's answer: %w", err)
			}
			_, err = fmt.Fprintln(c.out, strings.TrimSuffix(s.Source, "\n"))
			return err
		},
	}
	cmd.Flags().Int64Var(&version, "version", 0, "the one with this revision")
	return cmd
}

func newScriptSet(c *cli) *cobra.Command {
	var note string
	cmd := &cobra.Command{
		Use:     "set P FILE",
		Short:   "Set the script from a file, - for standard input",
		Long:    "Set the script from a file. One that cannot be read is refused with the line.",
		Example: "  hawserctl script set 70ly1tvowt696r15 meter.js --note 'second register'",
		Args:    exactArgs("P (productSN)", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := c.readFile(args[1])
			if err != nil {
				return err
			}
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.SetScript(ctx, args[0], apitype.ScriptChange{Source: string(source), Note: note})
			})
			if err != nil || b == nil {
				return err
			}
			return c.printStored(b)
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "what the version is about")
	return cmd
}

// printStored prints a script without its source, which the caller has.
func (c *cli) printStored(b json.RawMessage) error {
	var s apitype.Script
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	s.Source = ""
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return c.printOne(b)
}

func newScriptDelete(c *cli) *cobra.Command {
	return simple(c, "delete P", "Take the script away; its versions are kept", "hawserctl script delete 70ly1tvowt696r15",
		func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
			return client.DeleteScript(ctx, args[0])
		})
}

func newScriptVersions(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "versions P",
		Short:   "List the last versions, newest first",
		Long:    "List the last versions, newest first. One without functions says that the script was taken away.",
		Example: "  hawserctl script versions 70ly1tvowt696r15",
		Args:    exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.ListScriptVersions(ctx, args[0])
			})
			if err != nil {
				return err
			}
			items, err := itemsOf(b)
			if err != nil {
				return err
			}
			return c.printList(items, "revision", "functions", "changedAt", "changedBy", "note")
		},
	}
}

// trial are the flags of script try.
type trial struct{ file, topic, hex, base64, text, object string }

func newScriptTry(c *cli) *cobra.Command {
	var t trial
	cmd := &cobra.Command{
		Use:   "try P",
		Short: "Run a script on a payload, and see what comes of it",
		Long: `Run the product's script, or a draft with --file, on a payload. Nothing is stored
or sent. With --object it is jsonToRawData, else rawDataToJSON. What the script
prints goes to standard error. A script that fails is exit code 1, with the line.`,
		Example: `  hawserctl script try 70ly1tvowt696r15 --hex '01 00 d7 00 37'
  hawserctl script try 70ly1tvowt696r15 --file meter.js --base64 AQDXADc=
  hawserctl script try 70ly1tvowt696r15 --object '{"led":1}' --topic /70ly1tvowt696r15/cellar-1/set`,
		Args: exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := t.body(c)
			if err != nil {
				return err
			}
			b, err := c.do(checkedByHub(cmd.Context()), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.TryScript(ctx, args[0], body)
			})
			if err != nil {
				return err
			}
			return c.printTrial(cmd, b)
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.file, "file", "", "a draft to try instead, - for standard input")
	f.StringVar(&t.topic, "topic", "", "the topic that the script is told")
	f.StringVar(&t.hex, "hex", "", "payload as hex digits")
	f.StringVar(&t.base64, "base64", "", "payload as base64")
	f.StringVar(&t.text, "text", "", "payload as text")
	f.StringVar(&t.object, "object", "", "JSON object for jsonToRawData")
	cmd.MarkFlagsMutuallyExclusive("hex", "base64", "text", "object")
	return cmd
}

// body makes the request of the flags.
func (t *trial) body(c *cli) (apitype.ScriptTrial, error) {
	body := apitype.ScriptTrial{Topic: t.topic, PayloadHex: t.hex, PayloadBase64: t.base64, Payload: t.text}
	if t.file != "" {
		source, err := c.readFile(t.file)
		if err != nil {
			return body, err
		}
		body.Source = string(source)
	}
	if _, err := hex.DecodeString(strings.Join(strings.Fields(t.hex), "")); err != nil {
		return body, usageError{fmt.Errorf("--hex: %w", err)}
	}
	if _, err := base64.StdEncoding.DecodeString(t.base64); err != nil {
		return body, usageError{fmt.Errorf("--base64: %w", err)}
	}
	if t.object != "" {
		object, err := checkObject([]byte(t.object))
		if err != nil {
			return body, err
		}
		body.Object = object
	}
	return body, nil
}

// errScript is a trial that failed; what failed has been printed.
var errScript = errors.New("the script failed")

// printTrial prints what came of a trial, what the script printed apart from it.
func (c *cli) printTrial(cmd *cobra.Command, b json.RawMessage) error {
	var o apitype.ScriptOutcome
	if err := json.Unmarshal(b, &o); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	var failed error
	if o.Error.Kind != "" {
		failed = fmt.Errorf("%w: %s", errScript, o.Error.Reason)
		if o.Error.Line > 0 {
			failed = fmt.Errorf("%w in line %d, column %d: %s", errScript, o.Error.Line, o.Error.Column, o.Error.Reason)
		}
	}
	if c.raw() {
		return errors.Join(c.printRaw(b), failed)
	}
	if _, err := fmt.Fprint(cmd.ErrOrStderr(), o.Console); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "took %d µs, %d bytes\n", o.CPUMicroseconds, o.MemoryBytes); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	result := o.RawHex
	if len(o.Object) > 0 {
		result = string(o.Object)
	}
	_, err := fmt.Fprintln(c.out, result)
	return err
}
