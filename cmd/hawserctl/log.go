package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

var (
	kindsOfLog   = []string{"connection", "uplink", "downlink", "delivery", "device", "left_out"}
	resultsOfLog = []string{"ok", "refused", "failed", "waiting"}
)

func newLog(c *cli) *cobra.Command {
	list, show, tail := newLogList(c), newLogShow(c), newLogTail(c)
	return group("log", "What happened to messages, and why: list, show, tail", joinExamples(list, show, tail), list, show, tail)
}

func joinExamples(cmds ...*cobra.Command) string {
	var all []string
	for _, cmd := range cmds {
		line, _, _ := strings.Cut(cmd.Example, "\n")
		all = append(all, line)
	}
	return strings.Join(all, "\n")
}

// logFilter are the flags and arguments that narrow the log.
type logFilter struct {
	product, device                *string
	kinds, results                 []string
	message, application, contains string
}

func (f *logFilter) flags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.kinds, "kind", nil, "only these kinds: "+strings.Join(kindsOfLog, ", "))
	cmd.Flags().StringSliceVar(&f.results, "result", nil, "only these results: "+strings.Join(resultsOfLog, ", "))
	cmd.Flags().StringVar(&f.message, "message", "", "only of this message (its id)")
	cmd.Flags().StringVar(&f.application, "application", "", "only of this API key (its id), or of one of its clients (id:clientID)")
	cmd.Flags().StringVar(&f.contains, "contains", "", "only with this text in payload, topic or reason")
}

// arguments reads [P [D]].
func (f *logFilter) arguments(args []string) {
	if len(args) > 0 {
		f.product = &args[0]
	}
	if len(args) > 1 {
		f.device = &args[1]
	}
}

// params are those of both operations.
func (f *logFilter) params(cmd *cobra.Command) (kinds *[]apitype.MessageKind, results *[]apitype.MessageResult, id, contains *string) {
	if len(f.kinds) > 0 {
		kinds = &[]apitype.MessageKind{}
		for _, k := range f.kinds {
			*kinds = append(*kinds, apitype.MessageKind(k))
		}
	}
	if len(f.results) > 0 {
		results = &[]apitype.MessageResult{}
		for _, r := range f.results {
			*results = append(*results, apitype.MessageResult(r))
		}
	}
	return kinds, results, given(cmd.Flags(), "message", &f.message), given(cmd.Flags(), "contains", &f.contains)
}

func newLogList(c *cli) *cobra.Command {
	var f logFilter
	var since, until time.Duration
	var limit int
	cmd := &cobra.Command{
		Use:   "list [P [D]]",
		Short: "List what happened, newest first",
		Long: `List what happened to the messages of all, of one product, or of one device: what devices
and applications did at the door, messages up and down, what became of what rules made of them, and what
devices logged themselves. Newest first; -o wide has everything, log show the hops of one.`,
		Example: `  hawserctl log list 70ly1tvowt696r15 cellar-1
  hawserctl log list --result refused,failed --since 1h
  hawserctl log list 70ly1tvowt696r15 --kind uplink --contains temperature -o json
  hawserctl log list 70ly1tvowt696r15 cellar-1 --kind device`,
		Args: rangeArgs(0, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.arguments(args)
			p := apitype.ListMessagesParams{Product: f.product, Device: f.device}
			p.Application = given(cmd.Flags(), "application", &f.application)
			p.Kind, p.Result, p.MessageID, p.Contains = f.params(cmd)
			now := time.Now().UTC()
			if since > 0 {
				from := now.Add(-since)
				p.Since = &from
			}
			if until > 0 {
				to := now.Add(-until)
				p.Until = &to
			}
			items, err := c.all(cmd.Context(), limit, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				p.Limit, p.Cursor = limit, cursor
				return client.ListMessages(ctx, &p)
			})
			if err != nil {
				return err
			}
			return c.printLog(items)
		},
	}
	f.flags(cmd)
	cmd.Flags().DurationVar(&since, "since", 0, "only of the last so long")
	cmd.Flags().DurationVar(&until, "until", 0, "only what is older than so long")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many; 0 is all")
	return cmd
}

func newLogShow(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "show MESSAGE",
		Short: "Show everything that happened to one message",
		Long: `Show everything that happened to one message, by its MessageID: each hop of its way, what the
hop made of it, why, and how long it took.`,
		Example: `  hawserctl log show 349022219378098176
  hawserctl log show 349022219378098176 -o json`,
		Args: exactArgs("MESSAGE (messageID)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetMessage(ctx, args[0])
			})
			if err != nil {
				return err
			}
			if c.output != asTable && c.output != asWide {
				items, err := itemsOf(b)
				if err != nil {
					return err
				}
				return c.printList(items)
			}
			var list apitype.MessageRecordList
			if err := json.Unmarshal(b, &list); err != nil {
				return fmt.Errorf("read the answer: %w", err)
			}
			return c.printTimeline(&list)
		},
	}
}

func newLogTail(c *cli) *cobra.Command {
	var f logFilter
	var count int
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "tail [P [D]]",
		Short: "Show what happens, as it happens",
		Long: `Show what happens to messages as it happens, with the same filters as list. When the connection
breaks it is taken up again where it was, and nothing is missed. Ctrl-C ends it.`,
		Example: `  hawserctl log tail 70ly1tvowt696r15
  hawserctl log tail --result refused,failed --since 10m
  hawserctl log tail 70ly1tvowt696r15 cellar-1 --count 1 -o json`,
		Args: rangeArgs(0, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.arguments(args)
			p := apitype.TailMessagesParams{Product: f.product, Device: f.device}
			p.Application = given(cmd.Flags(), "application", &f.application)
			p.Kind, p.Result, p.MessageID, p.Contains = f.params(cmd)
			if since > 0 {
				from := time.Now().Add(-since).UTC()
				p.Since = &from
			}
			s := stream{cli: c, count: count, notice: c.logNotice}
			s.begin = func(ctx context.Context, client *apiclient.Client, last string) (*http.Response, error) {
				if last != "" {
					p.LastEventID = &last
				}
				return client.TailMessages(ctx, &p)
			}
			s.event = func(data []byte) error {
				if raw, err := s.printEvent(data); raw {
					return err
				}
				bare := c.noHeaders
				c.noHeaders = bare || s.seen > 0
				defer func() { c.noHeaders = bare }()
				return c.printLog([]json.RawMessage{data})
			}
			return s.run(cmd.Context())
		},
	}
	f.flags(cmd)
	cmd.Flags().DurationVar(&since, "since", 0, "begin with the last so long")
	cmd.Flags().IntVar(&count, "count", 0, "end after so many records")
	return cmd
}

// logNotice tells of hubs whose part is missing.
func (c *cli) logNotice(kind string, data []byte) {
	var m struct{ Missing []string }
	if kind != "missing" || json.Unmarshal(data, &m) != nil {
		return
	}
	if len(m.Missing) == 0 {
		fmt.Fprintln(c.errOut, "hawserctl: all hubs answer")
		return
	}
	fmt.Fprintf(c.errOut, "hawserctl: no answer from %s: what they log is missing here\n", strings.Join(m.Missing, ", "))
}
