package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// plotColumns is how wide a plot is where the output is no terminal.
const plotColumns = 80

func newPropertyHistory(c *cli) *cobra.Command {
	var from, to, step, fn string
	var ascending, plot bool
	var most int
	cmd := &cobra.Command{
		Use:   "history P D PROPERTY",
		Short: "Show what a device reported of its properties over time",
		Long: `Show what a device reported of its properties over time, newest first. PROPERTY
is an identifier, or several with commas between them. With --step there is one
line for each property and step in which it has values: --fn of them. --plot
draws a line for each property that is a number.`,
		Example: `  hawserctl property history 70ly1tvowt696r15 cellar-1 temperature --from 24h --plot
  hawserctl property history 70ly1tvowt696r15 cellar-1 temperature,humidity --step 5m --fn avg
  hawserctl property history 70ly1tvowt696r15 cellar-1 temperature --from 7d --limit 0 -o csv`,
		Args: exactArgs("P (productSN)", "D (deviceSN)", "PROPERTY (identifiers with commas between them)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := cmd.Flags()
			p := &apitype.GetPropertyHistoryParams{Step: given(f, "step", &step), Fn: (*apitype.GetPropertyHistoryParamsFn)(given(f, "fn", &fn))}
			if ascending || plot {
				order := apitype.Asc
				p.Order = &order
			}
			var err error
			if p.From, err = moment("--from", from); err != nil {
				return err
			}
			if p.To, err = moment("--to", to); err != nil {
				return err
			}
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				p.Limit, p.Cursor = limit, cursor
				return client.GetPropertyHistory(ctx, args[0], args[1], args[2], p)
			})
			if err != nil {
				return err
			}
			if plot {
				return c.plot(items)
			}
			columns := []string{"time", "identifier", "value"}
			if step != "" {
				columns = append(columns, "count")
			}
			return c.printList(items, columns...)
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "24h", "only from then on: 2h, 7d (ago) or 2026-01-31T08:00:00Z")
	f.StringVar(&to, "to", "", "only before then, likewise")
	f.StringVar(&step, "step", "", "down-sample to steps of this length: 30s, 5m, 1h, 1d")
	f.StringVar(&fn, "fn", "", "what becomes of the values of a step: avg, min, max, last, sum, count")
	f.BoolVar(&ascending, "asc", false, "the oldest first")
	f.BoolVar(&plot, "plot", false, "draw the values")
	f.IntVar(&most, "limit", 1000, "at most so many values, 0 is all")
	return cmd
}

// plot draws a line for each property that has numbers.
func (c *cli) plot(items []json.RawMessage) error {
	lines := map[string][]plotted{}
	var names []string
	var from, to time.Time
	for _, item := range items {
		var p apitype.PropertyPoint
		if err := json.Unmarshal(item, &p); err != nil {
			return fmt.Errorf("read the hub's answer: %w", err)
		}
		v, err := strconv.ParseFloat(string(p.Value), 64)
		if err != nil {
			continue
		}
		if lines[p.Identifier] == nil {
			names = append(names, p.Identifier)
		}
		lines[p.Identifier] = append(lines[p.Identifier], plotted{p.Time, v})
		if from.IsZero() || p.Time.Before(from) {
			from = p.Time
		}
		if p.Time.After(to) {
			to = p.Time
		}
	}
	if len(names) == 0 {
		return errors.New("there is no number to draw")
	}
	columns := c.width()
	if columns == 0 {
		columns = plotColumns
	}
	for _, name := range names {
		if err := plotLine(c.out, name, lines[name], from, to, columns); err != nil {
			return err
		}
	}
	return plotAxis(c.out, from, to, columns)
}
