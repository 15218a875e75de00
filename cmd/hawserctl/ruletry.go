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
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// ruleTrial are the flags of rule try.
type ruleTrial struct {
	sql, dataType                             string
	dialect                                   int
	actions                                   actionFlags
	topic, payload, base64, hex, device, live string
	letter                                    string
	messageQoS                                int
	timeout                                   time.Duration
}

func newRuleTry(c *cli) *cobra.Command {
	var v ruleTrial
	cmd := &cobra.Command{
		Use:   "try [ID]",
		Short: "Try a rule on a message, and see what comes of it stage by stage",
		Long: `Try a stored rule, on or off, or a draft with --sql, on a message: the one that
--topic and --payload, --base64 or --hex make, or the next live one of --live P or
P/D that the rule's FROM takes, or the one that a dead letter was made of. Nothing
is stored, sent or connected to.

Each stage is shown: the message as it was decoded, WHERE and the values in it,
what SELECT lists, the results, and for each action exactly what it would send.
When the message does not come as far as the actions, or an action has an error,
the exit code is 1.`,
		Example: `  hawserctl rule try 4 --topic /70ly1tvowt696r15/cellar-1/upload --payload '{"t":31}'
  hawserctl rule try 4 --letter 1574647125789118464
  hawserctl rule try 4 --live 70ly1tvowt696r15/cellar-1 --timeout 60s
  hawserctl rule try --sql @hot.sql --http https://example.com/hook --topic /70ly1tvowt696r15/cellar-1/upload --payload @message.json
  hawserctl rule try --sql "SELECT * FROM '/70ly1tvowt696r15/+/raw'" --data-type binary --topic /70ly1tvowt696r15/cellar-1/raw --hex 0100d7 -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := v.body(c, args)
			if err != nil {
				return err
			}
			b, err := c.do(checkedByHub(cmd.Context()), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.TryRule(ctx, body)
			})
			if err != nil {
				return err
			}
			return c.printRuleTrial(b)
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.sql, "sql", "", "a draft: SELECT … FROM … WHERE …, or @FILE")
	f.StringVar(&v.dataType, "data-type", "", "of the draft: json or binary")
	f.IntVar(&v.dialect, "dialect", 0, "of the draft: 1 or 2")
	v.actions.add(cmd)
	f.StringVar(&v.topic, "topic", "", "the message's topic")
	f.StringVar(&v.payload, "payload", "", "its payload as text, or @FILE")
	f.StringVar(&v.base64, "base64", "", "its payload as base64")
	f.StringVar(&v.hex, "hex", "", "its payload as hex digits")
	f.StringVar(&v.device, "device", "", "P/D, whose message it is, if the topic does not say")
	f.IntVar(&v.messageQoS, "message-qos", 0, "its QoS")
	f.StringVar(&v.live, "live", "", "P or P/D: take the next live message")
	f.StringVar(&v.letter, "letter", "", "ID of a dead letter: take the message that it was made of")
	f.DurationVar(&v.timeout, "timeout", 30*time.Second, "how long to wait for it, at most 60s")
	cmd.MarkFlagsMutuallyExclusive("payload", "base64", "hex")
	return cmd
}

// body makes the request of the flags.
func (v *ruleTrial) body(c *cli, args []string) (body apitype.RuleTrial, err error) {
	switch {
	case (len(args) == 1) == (v.sql != ""):
		return body, usageError{errors.New("name the ID of a rule, or a draft with --sql")}
	case !v.oneMessage():
		return body, usageError{errors.New("name the --topic of a message, the product with --live, or a dead letter with --letter")}
	case len(args) == 1:
		body.RuleID = args[0]
	}
	if body.SQL, err = c.ruleSQL(v.sql); err != nil {
		return body, err
	}
	body.DataType, body.Dialect = apitype.RuleDataType(v.dataType), apitype.RuleDialect(v.dialect)
	if body.Actions, err = v.actions.actions(); err != nil {
		return body, err
	}
	onError, err := v.actions.errorAction()
	if err != nil {
		return body, err
	}
	body.ErrorAction = apitype.RuleAction(onError)
	body.LetterID = v.letter
	if v.letter != "" {
		return body, nil
	}
	if v.live != "" {
		product, device, _ := strings.Cut(v.live, "/")
		body.Live = apitype.TrialLive{ProductSN: product, DeviceSN: device, TimeoutSeconds: float32(v.timeout.Seconds())}
		return body, nil
	}
	return body, v.message(c, &body.Message)
}

// oneMessage tells whether the flags name one message.
func (v *ruleTrial) oneMessage() bool {
	n := 0
	for _, way := range []string{v.topic, v.live, v.letter} {
		if way != "" {
			n++
		}
	}
	return n == 1
}

func (v *ruleTrial) message(c *cli, m *apitype.TrialMessage) error {
	m.Topic, m.Payload, m.PayloadBase64, m.Qos = v.topic, v.payload, v.base64, v.messageQoS
	m.ProductSN, m.DeviceSN, _ = strings.Cut(v.device, "/")
	if file, ok := strings.CutPrefix(v.payload, "@"); ok {
		b, err := c.readFile(file)
		if err != nil {
			return err
		}
		m.Payload, m.PayloadBase64 = "", base64.StdEncoding.EncodeToString(b) // it need not be text
	}
	if v.hex != "" {
		b, err := hex.DecodeString(strings.Join(strings.Fields(v.hex), ""))
		if err != nil {
			return usageError{fmt.Errorf("--hex: %w", err)}
		}
		m.PayloadBase64 = base64.StdEncoding.EncodeToString(b)
	}
	if _, err := base64.StdEncoding.DecodeString(v.base64); err != nil {
		return usageError{fmt.Errorf("--base64: %w", err)}
	}
	return nil
}

// errTried is a trial that ended before the actions, or in an action's error. What happened has been printed.
var errTried = errors.New("the rule would not have delivered the message")

// printRuleTrial prints what came of a trial.
func (c *cli) printRuleTrial(b json.RawMessage) error {
	var o apitype.RuleOutcome
	if err := json.Unmarshal(b, &o); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	failed := triedError(&o)
	if c.raw() {
		return errors.Join(c.printRaw(b), failed)
	}
	_, err := fmt.Fprint(c.out, triedText(&o))
	return errors.Join(err, failed)
}

// triedError says why a trial is none that went well.
func triedError(o *apitype.RuleOutcome) error {
	switch o.Stage {
	case apitype.TrialTopic:
		return fmt.Errorf("%w: FROM does not take its topic", errTried)
	case apitype.TrialDecode:
		return fmt.Errorf("%w: it is neither JSON nor CBOR", errTried)
	case apitype.TrialWhere, apitype.TrialSelect:
		if o.Error.Reason != "" {
			return fmt.Errorf("%w: %s", errTried, faultText(o.Error))
		}
		if o.Stage == apitype.TrialSelect {
			return fmt.Errorf("%w: there is no result", errTried)
		}
		return fmt.Errorf("%w: WHERE is not true", errTried)
	}
	for _, r := range o.Results {
		for _, a := range r.Actions {
			if a.Error != "" {
				return fmt.Errorf("%w: %s: %s", errTried, a.Kind, a.Error)
			}
		}
	}
	return nil
}

func faultText(f apitype.TrialFault) string {
	if f.Line > 0 {
		return fmt.Sprintf("line %d, column %d: %s", f.Line, f.Column, f.Reason)
	}
	return f.Reason
}

// triedText shows a trial to people.
func triedText(o *apitype.RuleOutcome) string {
	var t report
	m := &o.Message
	t.line(0, "message", strings.TrimSuffix(fmt.Sprintf("%s, QoS %d, %d bytes, %s", m.Topic, m.Qos, m.Size, m.Format), ", "))
	if len(m.Payload) > 0 {
		t.line(1, "", string(m.Payload))
	} else if m.PayloadBase64 != "" {
		t.line(1, "", "base64:"+m.PayloadBase64)
	}
	if o.Stage == apitype.TrialTopic {
		t.line(0, "FROM", "does not take the topic")
		return t.String()
	}
	t.line(0, "FROM", o.Filter)
	if o.Stage == apitype.TrialDecode {
		t.line(0, "decode", o.Error.Reason)
		return t.String()
	}
	if o.Where.Expr != "" {
		t.line(0, "WHERE", strings.Join(termLines(&o.Where, 0), "\n"))
	}
	if len(o.Fields) > 0 {
		t.line(0, "SELECT", "")
	}
	for i := range o.Fields {
		f := &o.Fields[i]
		if f.Name == f.Expr {
			t.line(1, f.Name, f.Value)
		} else {
			t.line(1, f.Name, strings.Join(termLines(f, 0), "\n"))
		}
	}
	for _, f := range o.Faults {
		t.line(0, "fault", f.Kind+": "+faultText(f))
	}
	if o.Error.Reason != "" {
		t.line(0, "error", faultText(o.Error))
	}
	for i := range o.Results {
		t.result(&o.Results[i])
	}
	if o.MoreResults > 0 {
		t.line(0, "result", fmt.Sprintf("and %d more", o.MoreResults))
	}
	return t.String()
}

// report is text in two columns.
type report struct{ strings.Builder }

func (t *report) line(depth int, name, text string) {
	head := strings.Repeat("  ", depth) + name
	if text == "" {
		fmt.Fprintln(t, head)
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(t, "%-11s  %s\n", head, line)
		head = ""
	}
}

// termLines show an expression and its value, and below what it is made of.
func termLines(x *apitype.RuleTerm, depth int) []string {
	value := x.Value
	if x.Truth != "" {
		value = x.Truth
	}
	lines := []string{strings.Repeat("  ", depth) + x.Expr + "  is  " + value}
	for i := range x.Terms {
		lines = append(lines, termLines(&x.Terms[i], depth+1)...)
	}
	return lines
}

func (t *report) result(r *apitype.TrialResult) {
	value := string(r.Value)
	if r.ValueBase64 != "" {
		value = "base64:" + r.ValueBase64
	}
	t.line(0, "result", value)
	for _, a := range r.Actions {
		switch {
		case a.Error != "" && a.WouldWait:
			t.line(1, a.Kind, "error, it would be tried again: "+a.Error)
		case a.Error != "":
			t.line(1, a.Kind, "error, a dead letter: "+a.Error)
		case a.Note != "":
			t.line(1, a.Kind, a.Note)
		default:
			t.line(1, a.Kind, a.Target)
			for _, h := range a.Headers {
				t.line(0, "", h)
			}
			t.line(0, "", a.Statement)
			for i, arg := range a.Args {
				t.line(0, "", fmt.Sprintf("$%d = %s", i+1, arg))
			}
			if a.Truncated {
				t.line(0, "", "… it is longer than that")
			}
		}
	}
}
