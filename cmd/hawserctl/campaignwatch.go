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

func newCampaignStatus(c *cli) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status PRODUCT CAMPAIGN",
		Short: "Show how far a campaign is, with --watch until it has ended",
		Long: `Show how far a campaign is.

With --watch it shows a bar for each state until the campaign has ended or is
paused; its exit code is 8 when it was aborted, is paused or some devices failed.`,
		Example: `  hawserctl campaign status 70ly1tvowt696r15 412233445566779000
  hawserctl campaign status 70ly1tvowt696r15 412233445566779000 --watch`,
		Args: exactArgs("PRODUCT", "CAMPAIGN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			get := func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetCampaign(ctx, args[0], args[1])
			}
			if watch {
				return c.watchCampaign(cmd.Context(), args[0], args[1], get)
			}
			return c.show(cmd.Context(), get)
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "show a bar for each state until it has ended")
	return cmd
}

// campaignPoll is how often a campaign that is watched is looked at though nothing was heard of it.
const campaignPoll = 10 * time.Second

// watchCampaign shows a campaign until nothing goes on any more, and prints it. The hub's events tell when to look; where they can't be had it is looked
// at every second.
func (c *cli) watchCampaign(ctx context.Context, product, campaign string, get request) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	moved := c.campaignMoves(ctx, product, campaign)
	wait := campaignPoll
	bars := c.newProgress()
	drawn := 0
	for {
		b, err := c.do(ctx, get)
		if err != nil {
			return err
		}
		var k apitype.Campaign
		if err := json.Unmarshal(b, &k); err != nil {
			return fmt.Errorf("read the campaign: %w", err)
		}
		if k.Status == "done" || k.Status == "aborted" || k.Status == "paused" {
			bars.erase(&drawn)
			return c.endedCampaign(b, &k)
		}
		if bars.tty {
			bars.erase(&drawn)
			text := campaignBars(&k)
			drawn = strings.Count(text, "\n")
			fmt.Fprint(bars.w, text)
		} else {
			bars.line("campaign "+k.CampaignID, "", campaignLine(&k))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-moved:
			if !ok { // no events: looked at as tasks are
				moved, wait = nil, otaPoll
			}
		case <-time.After(wait):
		}
	}
}

// campaignMoves has a token when the stream of events has begun, and whenever it tells of the campaign; it is closed when there is no stream.
func (c *cli) campaignMoves(ctx context.Context, product, campaign string) <-chan struct{} {
	moved := make(chan struct{}, 1)
	tell := func() {
		select {
		case moved <- struct{}{}:
		default:
		}
	}
	params := apitype.StreamEventsParams{Product: &product, Type: &[]apitype.EventType{"campaign"}}
	s := stream{cli: c, notice: func(string, []byte) { tell() }}
	s.begin = func(ctx context.Context, client *apiclient.Client, last string) (*http.Response, error) {
		if last != "" {
			params.LastEventID = &last
		}
		resp, err := client.StreamEvents(ctx, &params)
		tell()
		return resp, err
	}
	s.event = func(data []byte) error {
		var e struct{ Data struct{ CampaignID string } }
		if json.Unmarshal(data, &e) == nil && e.Data.CampaignID == campaign {
			tell()
		}
		return nil
	}
	go func() {
		_ = s.run(ctx) // without events it is looked at all the same
		close(moved)
	}()
	return moved
}

// erase removes the lines that were drawn last.
func (p *progress) erase(lines *int) {
	if *lines > 0 {
		fmt.Fprintf(p.w, "\x1b[%dA\r\x1b[J", *lines)
		*lines = 0
	}
}

func (c *cli) endedCampaign(b json.RawMessage, k *apitype.Campaign) error {
	if err := c.printOne(b); err != nil {
		return err
	}
	if k.Status != "done" {
		return fmt.Errorf("%w: the campaign is %s: %s", errRows, k.Status, k.Reason)
	}
	if good := k.Devices["succeeded"]; good < k.Targets {
		return fmt.Errorf("%w: %d of %d devices were not updated; hawserctl campaign devices says why", errRows, k.Targets-good, k.Targets)
	}
	return nil
}

// campaignStates are the states in the order in which a device goes through them.
var campaignStates = []string{"queued", "offered", "accepted", "downloading", "burning", "staged", "armed", "rebooting", "trial", "succeeded", "failed",
	"rejected", "rolled_back", "timed_out", "cancelled", "superseded"}

// campaignBars is a line for the campaign and one for each state that a device is in, each with its part of the targets.
func campaignBars(k *apitype.Campaign) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s, wave %d of %d, %s of %s let go\n", k.Module, k.Version, k.Status, k.Wave, len(k.Waves), grouped(k.Released), grouped(k.Targets))
	for _, state := range campaignStates {
		n := k.Devices[state]
		if n == 0 {
			continue
		}
		share := min(float64(n)/float64(max(k.Targets, 1)), 1)
		full := int(share*barWidth + 0.5)
		fmt.Fprintf(&b, "  %-12s %s%s %5.1f %% %s\n", state, strings.Repeat("█", full), strings.Repeat("░", barWidth-full), share*100, grouped(n))
	}
	return b.String()
}

func campaignLine(k *apitype.Campaign) string {
	parts := []string{fmt.Sprintf("%s, wave %d of %d, %s of %s let go", k.Status, k.Wave, len(k.Waves), grouped(k.Released), grouped(k.Targets))}
	for _, state := range campaignStates {
		if n := k.Devices[state]; n > 0 {
			parts = append(parts, grouped(n)+" "+state)
		}
	}
	return strings.Join(parts, ", ")
}
