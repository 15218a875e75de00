package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// watch is one run of the command.
type watch struct {
	*cli
	params apitype.StreamEventsParams
	stream stream
}

func newWatch(c *cli) *cobra.Command {
	w := watch{cli: c}
	var types []string
	cmd := &cobra.Command{
		Use:   "watch [P [D]]",
		Short: "Show what goes on, live",
		Long: `Show what goes on: messages, presence, changes of shadows and properties, events,
commands, rules; of all, of one product, or of one device. -o json prints one
event a line. When the connection breaks it is taken up again where it was. Ctrl-C
ends it.`,
		Example: `  hawserctl watch
  hawserctl watch 70ly1tvowt696r15 cellar-1
  hawserctl watch 70ly1tvowt696r15 --type presence,shadow -o json
  hawserctl watch 70ly1tvowt696r15 --count 1`,
		Args: rangeArgs(0, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				w.params.Product = &args[0]
			}
			if len(args) > 1 {
				w.params.Device = &args[1]
			}
			if len(types) > 0 {
				w.params.Type = &[]apitype.EventType{}
				for _, t := range types {
					*w.params.Type = append(*w.params.Type, apitype.EventType(t))
				}
			}
			return w.run(cmd.Context())
		},
	}
	cmd.Flags().StringSliceVar(&types, "type", nil, "only these types: message, presence, shadow, property, event, command, rule, ota")
	cmd.Flags().IntVar(&w.stream.count, "count", 0, "end after so many events")
	return cmd
}

func (w *watch) run(ctx context.Context) error {
	w.stream.cli, w.stream.event, w.stream.notice = w.cli, w.print, w.gap
	w.stream.begin = func(ctx context.Context, client *apiclient.Client, last string) (*http.Response, error) {
		if last != "" {
			w.params.LastEventID = &last
		}
		return client.StreamEvents(ctx, &w.params)
	}
	return w.stream.run(ctx)
}

// gap says that events are missing.
func (w *watch) gap(_ string, data []byte) {
	var g struct{ Missed int64 }
	if json.Unmarshal(data, &g) == nil && g.Missed > 0 {
		fmt.Fprintf(w.errOut, "hawserctl: too slow, %d events were missed here\n", g.Missed)
		return
	}
	fmt.Fprintln(w.errOut, "hawserctl: events may have been missed while it was away")
}

func (w *watch) print(data []byte) error {
	if raw, err := w.stream.printEvent(data); raw {
		return err
	}
	var e apitype.Event
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("read an event: %w", err)
	}
	parts := []string{e.Time.Local().Format("15:04:05.000"), fmt.Sprintf("%-8s", e.Type)}
	if e.ProductSN != "" {
		parts = append(parts, e.ProductSN+"/"+e.DeviceSN)
	}
	for _, s := range []string{e.Topic, string(e.Data)} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	_, err := fmt.Fprintln(w.out, strings.Join(parts, " "))
	return err
}
