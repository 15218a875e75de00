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

// newAgentGet is `hawserctl agent get` and `hawserctl device agent`.
func newAgentGet(c *cli, use, name string) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: "What the agent on a gateway has told of itself: version, what waits, what was lost, its configuration",
		Example: "  hawserctl " + name + " 70ly1tvowt696r15 gateway-1\n" +
			"  hawserctl " + name + " 70ly1tvowt696r15 gateway-1 -o json | jq .streams",
		Args: exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetAgent(ctx, args[0], args[1])
			})
			if err != nil {
				return err
			}
			if c.output != asTable && c.output != asWide || len(c.columns) > 0 {
				return c.printOne(b)
			}
			return c.printAgent(b)
		},
	}
}

func (c *cli) printAgent(b json.RawMessage) error {
	var a apitype.Agent
	if err := json.Unmarshal(b, &a); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	var s strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&s, "%-13s "+format+"\n", append([]any{name}, args...)...)
	}
	line("version", "%s %s", a.Version, a.Variant)
	line("platform", "%s", a.Platform)
	line("channel", "%d", a.Channel)
	line("capabilities", "%s", strings.Join(a.Capabilities, ", "))
	line("seen", "%s", a.SeenAt.Format(time.RFC3339))
	for _, st := range a.Streams {
		line("stream", "%s: %d records wait, %d bytes; %d lost since the agent was started", st.Name, st.Records, st.Bytes, st.Lost)
	}
	if u := a.Uploads; u != (apitype.AgentUploads{}) {
		line("uploads", "%d files wait, %d sent and %d failed since the agent was started", u.Waiting, u.Sent, u.Failed)
	}
	for _, r := range a.Routes {
		line("route", "%s: %d matched, %d failed; of its results %d sent, %d wait, %d dropped", r.Name, r.Matched, r.Failed, r.Sent, r.Waiting, r.Dropped)
	}
	if k := a.Config; k != (apitype.AgentConfigState{}) {
		line("config", "%s runs, %s wanted; %s of %s %s %s", orNone(k.Running), orNone(k.Wanted), orNone(k.State), orNone(k.Offered), k.Reason, k.Detail)
	}
	if a.Untold > 0 {
		line("untold", "%d losses are not reported yet", a.Untold)
	}
	for _, g := range a.Gaps {
		line("lost", "%s %d to %d, %s, %d bytes, reported %s", g.Stream, g.From, g.To, g.Reason, g.Bytes, g.At.Format(time.RFC3339))
	}
	_, err := fmt.Fprint(c.out, s.String())
	return err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
