package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newMetrics(c *cli) *cobra.Command {
	return group("metrics", "Metrics: what the hub has counted over time: list, get, watch",
		"  hawserctl metrics get messages_up,messages_down --from 24h\n  hawserctl metrics watch --product 70ly1tvowt696r15",
		newMetricsList(c), newMetricsGet(c), newMetricsWatch(c))
}

func newMetricsList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the metrics that there are",
		Example: "  hawserctl metrics list",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.ListMetrics(ctx)
			})
			if err != nil {
				return err
			}
			return c.printItems(b, "name", "unit", "gauge", "description")
		},
	}
}

func newMetricsGet(c *cli) *cobra.Command {
	var from, to, step string
	var plot bool
	var p apitype.GetMetricSeriesParams
	var product, rule string
	cmd := &cobra.Command{
		Use:   "get METRIC",
		Short: "Show metrics over time",
		Long: `Show metrics over time: of the project (of the whole hub without one), of a product or
of a rule. METRIC is one, or several with commas between them; metrics list has
them. A counter's value is what happened in the step, a gauge's the mean of it. In a
terminal a line is drawn for each; a table, or -o json, yaml and csv, has the values.`,
		Example: `  hawserctl metrics get messages_up,messages_down --from 24h --step 1h
  hawserctl metrics get devices_online --product 70ly1tvowt696r15 --from 7d --plot
  hawserctl metrics get rule_delivered,rule_dead --rule 4 -o csv`,
		Args: exactArgs("METRIC (several with commas between them)"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			f := cmd.Flags()
			p.Name, p.Product, p.Rule, p.Step = args[0], given(f, "product", &product), given(f, "rule", &rule), given(f, "step", &step)
			if p.From, err = moment("--from", from); err != nil {
				return err
			}
			if p.To, err = moment("--to", to); err != nil {
				return err
			}
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetMetricSeries(ctx, &p)
			})
			if err != nil {
				return err
			}
			return c.printMetrics(b, plot || c.output == asTable && c.width() > 0)
		},
	}
	f := cmd.Flags()
	f.StringVar(&product, "product", "", "of this product")
	f.StringVar(&rule, "rule", "", "of this rule")
	f.StringVar(&from, "from", "24h", "only from then on: 2h, 7d (ago) or 2026-01-31T08:00:00Z")
	f.StringVar(&to, "to", "", "only before then, likewise")
	f.StringVar(&step, "step", "", "steps of this length: 1m, 15m, 1h, 1d")
	f.BoolVar(&plot, "plot", false, "draw the values")
	return cmd
}

// printMetrics prints a row for each step with a column for each metric, or draws the metrics.
func (c *cli) printMetrics(b json.RawMessage, plot bool) error {
	if c.raw() {
		return c.printRaw(b)
	}
	var s apitype.MetricSeries
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	if plot {
		return c.plotMetrics(&s)
	}
	columns := []string{"time"}
	rows := map[time.Time]map[string]any{}
	var times []time.Time
	for _, l := range s.Series {
		columns = append(columns, l.Name)
		for _, p := range l.Points {
			if rows[p.Time] == nil {
				rows[p.Time] = map[string]any{"time": p.Time}
				times = append(times, p.Time)
			}
			rows[p.Time][l.Name] = p.Value
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	items := make([]json.RawMessage, len(times))
	for i, at := range times {
		var err error
		if items[i], err = json.Marshal(rows[at]); err != nil {
			return err
		}
	}
	return c.printList(items, columns...)
}

func (c *cli) plotMetrics(s *apitype.MetricSeries) error {
	columns := c.width()
	if columns == 0 {
		columns = plotColumns
	}
	for _, l := range s.Series {
		if len(l.Points) == 0 {
			if _, err := fmt.Fprintf(c.out, "%s  nothing was written\n", l.Name); err != nil {
				return err
			}
			continue
		}
		points := make([]plotted, len(l.Points))
		for i, p := range l.Points {
			points[i] = plotted{p.Time, p.Value}
		}
		if err := plotLine(c.out, l.Name, points, s.From, s.To, min(columns, max(len(points), 20))); err != nil {
			return err
		}
	}
	return plotAxis(c.out, s.From, s.To, columns)
}

// metricsWatch is one run of the command.
type metricsWatch struct {
	*cli
	params apitype.StreamMetricsParams
	names  []string
	stream stream
}

// watchedMetrics are shown when no others are named.
var watchedMetrics = []string{"devices_online", "messages_up", "messages_down", "errors_up", "rule_matched", "rule_delivered", "rule_dead"}

func newMetricsWatch(c *cli) *cobra.Command {
	w := metricsWatch{cli: c}
	var product, rule string
	cmd := &cobra.Command{
		Use:   "watch [METRIC]",
		Short: "Show metrics, live, a line each second",
		Long: `Show metrics as they are counted, a line each second: of the project (of the whole hub
without one), of a product or of a rule. -o json prints one point a line. Ctrl-C ends it.`,
		Example: `  hawserctl metrics watch
  hawserctl metrics watch messages_up,bytes_up --product 70ly1tvowt696r15
  hawserctl metrics watch --count 10 -o json`,
		Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w.params.Product, w.params.Rule = given(cmd.Flags(), "product", &product), given(cmd.Flags(), "rule", &rule)
			w.names = watchedMetrics
			if len(args) > 0 {
				w.names = strings.Split(args[0], ",")
				if err := w.known(cmd.Context()); err != nil {
					return err
				}
			}
			return w.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&product, "product", "", "of this product")
	f.StringVar(&rule, "rule", "", "of this rule")
	f.IntVar(&w.stream.count, "count", 0, "end after so many points")
	return cmd
}

// known holds that the metrics are there.
func (w *metricsWatch) known(ctx context.Context) error {
	b, err := w.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.ListMetrics(ctx)
	})
	if err != nil {
		return err
	}
	var list apitype.MetricList
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	for _, name := range w.names {
		if !slices.ContainsFunc(list.Items, func(m apitype.Metric) bool { return m.Name == name }) {
			return usageError{fmt.Errorf("there is no metric %q; see hawserctl metrics list", name)}
		}
	}
	return nil
}

func (w *metricsWatch) run(ctx context.Context) error {
	w.stream.cli, w.stream.event = w.cli, w.print
	w.stream.notice = func(string, []byte) {
		fmt.Fprintln(w.errOut, "hawserctl: seconds may have been missed while it was away")
	}
	w.stream.begin = func(ctx context.Context, client *apiclient.Client, last string) (*http.Response, error) {
		if last != "" {
			w.params.LastEventID = &last
		}
		return client.StreamMetrics(ctx, &w.params)
	}
	return w.stream.run(ctx)
}

func (w *metricsWatch) print(data []byte) error {
	if raw, err := w.stream.printEvent(data); raw {
		return err
	}
	var p apitype.MetricPoint
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("read a point: %w", err)
	}
	parts := []string{p.Time.Local().Format("15:04:05")}
	for _, name := range w.names {
		parts = append(parts, name+" "+strconv.FormatInt(p.Values[name], 10))
	}
	_, err := fmt.Fprintln(w.out, strings.Join(parts, "  "))
	return err
}
