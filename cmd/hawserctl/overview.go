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

func newOverview(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "overview",
		Short: "Show how things are: devices, traffic, rules, campaigns, errors, alarms, nodes",
		Long: `Show how things are at a glance, in the project, or in the whole hub without one: devices,
what went through in the last five minutes, what rules made of it in the last hour, campaigns
that have not ended, the most frequent errors, open alarms, and how each node is doing.`,
		Example: "  hawserctl overview\n  hawserctl overview --project farm -o json",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetOverview(ctx)
			})
			if err != nil {
				return err
			}
			if c.output != asTable && c.output != asWide || len(c.columns) > 0 {
				return c.printOne(b)
			}
			return c.printOverview(b)
		},
	}
}

func (c *cli) printOverview(b json.RawMessage) error {
	var o apitype.Overview
	if err := json.Unmarshal(b, &o); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	var s strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&s, "%-10s "+format+"\n", append([]any{name}, args...)...)
	}
	line("devices", "%s online of %s", grouped(o.Devices.Online), grouped(o.Devices.Registered))
	line("up", "%s messages/s, %s bytes, %s errors in %d s", short(o.Traffic.MessagesUpPerSecond), grouped(o.Traffic.BytesUp), grouped(o.Traffic.ErrorsUp), o.Traffic.Seconds)
	line("down", "%s messages/s, %s bytes, %s errors in %d s", short(o.Traffic.MessagesDownPerSecond), grouped(o.Traffic.BytesDown), grouped(o.Traffic.ErrorsDown), o.Traffic.Seconds)
	rules := fmt.Sprintf("%s matched, %s delivered, %s dead, %s dropped in %d s; %s wait", grouped(o.Rules.Matched), grouped(o.Rules.Delivered),
		grouped(o.Rules.Dead), grouped(o.Rules.Dropped), o.Rules.Seconds, grouped(o.Rules.Waiting))
	if o.Rules.Success != nil {
		rules += fmt.Sprintf("; %.2f %% success", *o.Rules.Success*100)
	}
	if o.Rules.LagSeconds != nil {
		rules += fmt.Sprintf("; %s behind", time.Duration(*o.Rules.LagSeconds*float64(time.Second)).Round(time.Second))
	}
	line("rules", "%s", rules)
	line("alarms", "%d open (%d critical, %d major, %d minor, %d warning), %d acknowledged", o.Alarms.Open, o.Alarms.Critical, o.Alarms.Major,
		o.Alarms.Minor, o.Alarms.Warning, o.Alarms.Acknowledged)
	for _, k := range o.Campaigns {
		line("campaign", "%s %s of %s: %s, %d of %d ended, %d failed", k.ID, k.Name, k.ProductSN, k.Status, k.Ended, k.Total, k.Failed)
	}
	for _, e := range o.Errors {
		line("error", "%s × %s %s: %s", grouped(e.Count), e.Where, e.ProductSN, e.What)
	}
	for _, n := range o.Nodes {
		state := "up"
		if !n.Up {
			state = "DOWN since " + n.SeenAt.Local().Format(time.DateTime)
		}
		line("node", "%s %s, %s, %d connections, heap %s MB, %d changes wait", n.Name, state, n.Version, n.Connections, grouped(n.HeapBytes>>20), n.StoreQueue)
	}
	_, err := fmt.Fprint(c.out, s.String())
	return err
}
