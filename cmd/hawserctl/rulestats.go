package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
)

func newRuleStats(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "stats ID",
		Short:   "Get a rule's counters: what it matched, and what became of it at each action",
		Example: "  hawserctl rule stats 4",
		Args:    exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetRuleStats(ctx, args[0])
			})
			if err != nil || b == nil {
				return err
			}
			if c.raw() {
				return c.printOne(b)
			}
			return c.printStats(b)
		},
	}
}

// printStats prints the rule's own counters in a line, and a row for each action.
func (c *cli) printStats(b json.RawMessage) error {
	var stats struct {
		Matched, Failed int64
		Faults          []json.RawMessage
		Actions         []json.RawMessage
	}
	if err := json.Unmarshal(b, &stats); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	if c.output != asCSV {
		if _, err := fmt.Fprintf(c.out, "matched %d, not evaluated %d\n", stats.Matched, stats.Failed); err != nil {
			return err
		}
	}
	err := c.printList(stats.Actions, "id", "kind", "role", "status", "matched", "delivered", "queued", "late", "dead", "dropped", "total.delivered", "lastError")
	if err != nil || len(stats.Faults) == 0 || c.output == asCSV {
		return err
	}
	return c.printList(stats.Faults, "kind", "count", "text", "topic", "messageID")
}
