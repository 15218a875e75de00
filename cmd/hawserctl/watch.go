package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// maxEvent bounds one line of the stream.
const maxEvent = 4 << 20

// errEnough ends a watch after --count events.
var errEnough = errors.New("enough events")

// watch is one run of the command.
type watch struct {
	*cli
	params apitype.StreamEventsParams
	count  int // 0: no end
	seen   int
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
	cmd.Flags().StringSliceVar(&types, "type", nil, "only these types: message, presence, shadow, property, event, command, rule")
	cmd.Flags().IntVar(&w.count, "count", 0, "end after so many events")
	return cmd
}

// run follows the stream over broken connections. Only the first connection must succeed: a hub that restarts is
// waited for.
func (w *watch) run(ctx context.Context) error {
	for first, pause := true, time.Second; ; first = false {
		resp, err := w.open(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return client.StreamEvents(ctx, &w.params)
		})
		var lost *unreachableError
		switch {
		case err == nil:
			pause = time.Second
			err = w.follow(resp.Body)
			if errors.Is(err, errEnough) {
				return nil
			}
			if ctx.Err() == nil {
				fmt.Fprintln(w.errOut, "hawserctl: the stream ended, connecting again")
			}
		case first || !errors.As(err, &lost):
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
			pause = min(2*pause, 30*time.Second)
		}
	}
}

// follow prints events until the stream ends, and remembers the last id.
func (w *watch) follow(body io.ReadCloser) error {
	defer func() { _ = body.Close() }() // it was only read
	var id, kind string
	var data []byte
	sc := bufio.NewScanner(body)
	sc.Buffer(nil, maxEvent)
	for sc.Scan() {
		name, value, _ := strings.Cut(sc.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "id":
			id = value
		case name == "event":
			kind = value
		case name == "data":
			data = append(data, value...)
		case sc.Text() == "" && kind == "gap":
			w.gap(data)
			kind, data = "", nil
		case sc.Text() == "" && data != nil:
			w.params.LastEventID = &id
			if err := w.event(data); err != nil {
				return err
			}
			data = nil
		}
	}
	return sc.Err()
}

// gap says that events are missing.
func (w *watch) gap(data []byte) {
	var g struct{ Missed int64 }
	if json.Unmarshal(data, &g) == nil && g.Missed > 0 {
		fmt.Fprintf(w.errOut, "hawserctl: too slow, %d events were missed here\n", g.Missed)
		return
	}
	fmt.Fprintln(w.errOut, "hawserctl: events may have been missed while it was away")
}

func (w *watch) event(data []byte) error {
	if err := w.print(data); err != nil {
		return err
	}
	w.seen++
	if w.count > 0 && w.seen >= w.count {
		return errEnough
	}
	return nil
}

func (w *watch) print(data []byte) error {
	switch w.output {
	case asJSON:
		_, err := fmt.Fprintf(w.out, "%s\n", data)
		return err
	case asYAML:
		if _, err := fmt.Fprintln(w.out, "---"); err != nil {
			return err
		}
		return w.printRaw(data)
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
