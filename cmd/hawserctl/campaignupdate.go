package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newCampaignUpdate(c *cli) *cobra.Command {
	var rate apitype.CampaignRate
	var waves []string
	var deadlines map[string]string
	var window, expires, action string
	var stop apitype.CampaignStop
	var retry apitype.CampaignRetries
	var delay time.Duration
	cmd := &cobra.Command{
		Use:   "update PRODUCT CAMPAIGN",
		Short: "Change a campaign that has not ended: its rate, waves to come, stop rule, retries, deadlines, window",
		Long: `Change a campaign that has not ended. What is not named stays as it is; --wave
names the whole plan, with the waves that have begun as they are; the flags of the
rate name the whole rate, those of the stop rule the whole rule (--stop-at 0 is none),
and those of retries all there is to them (--attempts 1 is none).

With --if-match TAG it is changed only if nobody else has changed it since.`,
		Example: `  hawserctl campaign update 70ly1tvowt696r15 412233445566779000 --per-minute 30 --concurrent 100
  hawserctl campaign update 70ly1tvowt696r15 412233445566779000 --wave 5%,soak=1h --wave 50%,hold --wave 100%
  hawserctl campaign update 70ly1tvowt696r15 412233445566779000 --stop-at 2 --stop-action abort --attempts 3 --retry SPACE
  hawserctl campaign update 70ly1tvowt696r15 412233445566779000 --window '0 2 * * *,180m' --deadline downloading=4h`,
		Args: exactArgs("PRODUCT", "CAMPAIGN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := campaignPatch(waves, deadlines, window, expires)
			if err != nil {
				return usageError{err}
			}
			if rate != (apitype.CampaignRate{}) || cmd.Flags().Changed("per-minute") {
				body.Rate = &rate
			}
			if anyChanged(cmd, "stop-at", "stop-min", "stop-reverted", "stop-action") {
				stop.Action = apitype.CampaignAction(action)
				body.Stop = &stop
			}
			if anyChanged(cmd, "attempts", "retry", "retry-delay") {
				retry.DelaySeconds = int64(delay.Seconds())
				body.Retry = &retry
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UpdateCampaign(ctx, args[0], args[1], body)
			})
		},
	}
	f := cmd.Flags()
	rateFlags(f, &rate)
	stopFlags(f, &stop, &action)
	retryFlags(f, &retry, &delay)
	f.StringArrayVar(&waves, "wave", nil, "a step of the whole plan, as in create; the last is 100%")
	f.StringToStringVar(&deadlines, "deadline", nil, "how long a device may be silent in a state, all of them: downloading=2h,trial=15m")
	f.StringVar(&window, "window", "", "when devices that verify may install, as in create; none for none")
	f.StringVar(&expires, "expires-at", "", "how long the campaign waits for devices: 2026-05-01T12:00:00Z")
	return cmd
}

func anyChanged(cmd *cobra.Command, names ...string) bool {
	return slices.ContainsFunc(names, cmd.Flags().Changed)
}

// campaignPatch reads what is not of the rate.
func campaignPatch(waves []string, deadlines map[string]string, window, expires string) (body apitype.CampaignPatch, err error) {
	for _, text := range waves {
		w, err := parseWave(text)
		if err != nil {
			return body, fmt.Errorf("--wave %s: %w", text, err)
		}
		body.Waves = append(body.Waves, w)
	}
	if body.Deadlines, err = parseDeadlines(deadlines); err != nil {
		return body, err
	}
	switch window {
	case "":
	case "none":
		body.Window = &apitype.CampaignWindow{}
	default:
		if body.Window, err = parseWindow(window); err != nil {
			return body, fmt.Errorf("--window: %w", err)
		}
	}
	if expires != "" {
		if body.ExpiresAt, err = time.Parse(time.RFC3339, expires); err != nil {
			return body, fmt.Errorf("--expires-at: %w", err)
		}
	}
	return body, nil
}
