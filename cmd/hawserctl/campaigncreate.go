package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// campaignFlags are what a campaign is made with on the command line.
type campaignFlags struct {
	body             apitype.NewCampaign
	spec, list       string
	waves            []string
	window           string
	deadlines        map[string]string
	action           string
	timeout, expires time.Duration
	retryDelay       time.Duration
}

func (a *campaignFlags) add(f *pflag.FlagSet) {
	b := &a.body
	f.StringVar(&a.spec, "spec", "", "file with the campaign as JSON, in the words of the API; flags go before it")
	f.StringVar(&b.Name, "name", "", "name of the campaign")
	f.StringArrayVar(&b.Targets.Devices, "device", nil, "a device, may be given more than once")
	f.StringVar(&a.list, "devices-file", "", "file with a deviceSN in each line, or a CSV whose first column is that; - is standard input")
	f.StringVar(&b.Targets.Group, "group", "", "the devices of this group")
	f.StringVar(&b.Targets.Filter, "filter", "", "the devices that this takes; see help filter")
	f.BoolVar(&b.Targets.All, "all", false, "all devices of the product")
	f.StringVar(&b.Targets.Versions, "versions", "", "only devices that run one of these: '>=1.2 <2.0 || 3.1'")
	f.StringArrayVar(&b.Canary, "canary", nil, "a device that comes first, may be given more than once")
	f.StringArrayVar(&a.waves, "wave", nil, "a step: 5% or 20 (devices), then soak=1h, settled=95, hold, and a gate: '5%,soak=1h,offline=5,gate=abort'; the last is 100%")
	stopFlags(f, &b.Stop, &a.action)
	rateFlags(f, &b.Rate)
	retryFlags(f, &b.Retry, &a.retryDelay)
	f.StringToStringVar(&a.deadlines, "deadline", nil, "how long a device may be silent in a state: downloading=2h,trial=15m")
	f.StringVar(&a.window, "window", "", "when devices that verify may install: '0 2 * * *,180m' or '0 2 * * *,180m,Europe/Berlin'")
	f.Int64Var(&b.ByteBudget, "byte-budget", 0, "bytes that a device which verifies may download")
	f.BoolVar(&b.Consent, "consent", false, "devices that verify ask their owners before they begin")
	f.DurationVar(&a.timeout, "timeout", 0, "how long a device may be silent in any other state (default 1h)")
	f.DurationVar(&a.expires, "expires", 0, "how long the campaign waits for devices (default 168h)")
}

func stopFlags(f *pflag.FlagSet, s *apitype.CampaignStop, action *string) {
	f.Float64Var(&s.Limit, "stop-at", 0, "stop when surely more percent of the devices failed")
	f.Int64Var(&s.Minimum, "stop-min", 0, "… of at least so many (default 5)")
	f.Int64Var(&s.Reverted, "stop-reverted", 0, "stop when so many devices went back or fell silent on trial")
	f.StringVar(action, "stop-action", "pause", "what stopping is: pause, abort or rollback")
}

func retryFlags(f *pflag.FlagSet, r *apitype.CampaignRetries, delay *time.Duration) {
	f.IntVar(&r.Attempts, "attempts", 0, "how often a device is offered the firmware in all")
	f.StringSliceVar(&r.Classes, "retry", nil, "failure classes that are tried again beside NET and SRV: SPACE,POWER")
	f.DurationVar(delay, "retry-delay", 0, "before another try of those (default 10m)")
}

func rateFlags(f *pflag.FlagSet, r *apitype.CampaignRate) {
	f.Float64Var(&r.PerMinute, "per-minute", 0, "offers a minute")
	f.Float64Var(&r.Growth, "growth", 0, "factor by which that grows each minute")
	f.Float64Var(&r.MaxPerMinute, "max-per-minute", 0, "what it grows to")
	f.Int64Var(&r.Concurrent, "concurrent", 0, "devices that are at it at a time")
	f.Int64Var(&r.BytesPerSecond, "bytes-per-second", 0, "bytes a second of all downloads, on average")
}

// parseDeadlines reads states with their durations; nil without any.
func parseDeadlines(texts map[string]string) (list map[string]int64, err error) {
	for state, text := range texts {
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("--deadline %s: %w", state, err)
		}
		if list == nil {
			list = map[string]int64{}
		}
		list[state] = int64(d.Seconds())
	}
	return list, nil
}

// read makes the request of the flags.
func (a *campaignFlags) read(c *cli, firmware string) (err error) {
	b := &a.body
	if a.spec != "" {
		text, err := c.readFile(a.spec)
		if err != nil {
			return err
		}
		given := *b
		*b = apitype.NewCampaign{}
		if err := json.Unmarshal(text, b); err != nil {
			return usageError{fmt.Errorf("--spec: %w", err)}
		}
		over, err := json.Marshal(given)
		if err == nil {
			err = json.Unmarshal(over, b)
		}
		if err != nil {
			return fmt.Errorf("--spec: %w", err)
		}
	}
	b.FirmwareID = firmware
	if b.Stop.Limit > 0 || b.Stop.Reverted > 0 {
		b.Stop.Action = apitype.CampaignAction(a.action)
	}
	for _, text := range a.waves {
		w, err := parseWave(text)
		if err != nil {
			return usageError{fmt.Errorf("--wave %s: %w", text, err)}
		}
		b.Waves = append(b.Waves, w)
	}
	deadlines, err := parseDeadlines(a.deadlines)
	if err != nil {
		return usageError{err}
	}
	if b.Deadlines == nil {
		b.Deadlines = deadlines
	}
	maps.Copy(b.Deadlines, deadlines)
	b.Retry.DelaySeconds = max(b.Retry.DelaySeconds, int64(a.retryDelay.Seconds()))
	b.TimeoutSeconds, b.ExpiresInSeconds = max(b.TimeoutSeconds, int(a.timeout.Seconds())), max(b.ExpiresInSeconds, int(a.expires.Seconds()))
	if a.window != "" {
		if b.Window, err = parseWindow(a.window); err != nil {
			return usageError{fmt.Errorf("--window: %w", err)}
		}
	}
	if a.list != "" {
		text, err := c.readFile(a.list)
		if err != nil {
			return err
		}
		b.Targets.Devices = append(b.Targets.Devices, firstColumn(string(text))...)
	}
	return nil
}

// firstColumn are the first values of the lines of a CSV; a head whose first column is deviceSN is none.
func firstColumn(text string) (list []string) {
	for line := range strings.Lines(text) {
		sn, _, _ := strings.Cut(strings.TrimSpace(line), ",")
		if sn = strings.Trim(sn, "\"\ufeff \t"); sn != "" && sn != "deviceSN" {
			list = append(list, sn)
		}
	}
	return list
}

// parseWave reads 5%,soak=1h,settled=95,hold, and a gate: reconnects=2,offline=5,silent=10,gate=abort.
func parseWave(text string) (w apitype.CampaignWave, err error) {
	size, rest, _ := strings.Cut(text, ",")
	if percent, ok := strings.CutSuffix(size, "%"); ok {
		w.Percent, err = strconv.ParseFloat(percent, 64)
	} else {
		w.Count, err = strconv.ParseInt(size, 10, 64)
	}
	var gate apitype.CampaignHealth
	for _, part := range strings.FieldsFunc(rest, func(r rune) bool { return r == ',' }) {
		if err != nil {
			return w, err
		}
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "soak":
			var d time.Duration
			d, err = time.ParseDuration(value)
			w.SoakSeconds = int64(d.Seconds())
		case "settled":
			w.Settled, err = strconv.ParseFloat(value, 64)
		case "hold":
			w.Hold = true
		case "reconnects":
			gate.Reconnects, err = strconv.ParseFloat(value, 64)
		case "offline":
			gate.Offline, err = strconv.ParseFloat(value, 64)
		case "silent":
			gate.Silent, err = strconv.ParseFloat(value, 64)
		case "gate":
			gate.Action = apitype.CampaignAction(value)
		default:
			err = fmt.Errorf("there is no %q: soak, settled, hold, reconnects, offline, silent and gate", key)
		}
	}
	if err == nil && gate != (apitype.CampaignHealth{}) {
		if gate.Reconnects == 0 && gate.Offline == 0 && gate.Silent == 0 {
			return w, fmt.Errorf("a gate looks at reconnects, offline or silent")
		}
		w.Health = &gate
	}
	return w, err
}

// parseWindow reads cron,duration and perhaps a zone.
func parseWindow(text string) (*apitype.CampaignWindow, error) {
	parts := strings.Split(text, ",")
	if len(parts) < 2 {
		return nil, fmt.Errorf("wants a cron and a duration: '0 2 * * *,180m'")
	}
	zone := ""
	if strings.Contains(parts[len(parts)-1], "/") && len(parts) > 2 {
		zone, parts = parts[len(parts)-1], parts[:len(parts)-1]
	}
	d, err := time.ParseDuration(strings.TrimSpace(parts[len(parts)-1]))
	if err != nil {
		return nil, err
	}
	return &apitype.CampaignWindow{Cron: strings.Join(parts[:len(parts)-1], ","), Minutes: int64(d.Minutes()), Tz: zone}, nil
}

func newCampaignCreate(c *cli) *cobra.Command {
	var a campaignFlags
	cmd := &cobra.Command{
		Use:   "create PRODUCT FIRMWARE",
		Short: "Bring a firmware to devices step by step",
		Long: `Bring a firmware to devices step by step.

Its targets are found in the background, and it starts by itself or, where the
project asks for it, when somebody else has approved it. Devices come in an order
that depends on the campaign and the device alone: who is among the first 5 % is
among the first 25 %. See dry-run for what a campaign would do.

A wave may have a gate: after it has soaked, its devices are compared with those whose
turn has not come. reconnects=2 is twice as many connections, offline=5 and silent=10
are so many percent points more that are offline, or have sent nothing; gate=pause (as
it is without), abort or rollback is what happens then.`,
		Example: `  hawserctl campaign create 70ly1tvowt696r15 412233445566778899 --all --canary cellar-1 --wave 5%,soak=1h --wave 25%,soak=24h --wave 100% --stop-at 5
  hawserctl campaign create 70ly1tvowt696r15 412233445566778899 --devices-file list.csv --per-minute 60 --growth 1.5 --concurrent 500
  hawserctl campaign create 70ly1tvowt696r15 412233445566778899 --group east --versions '>=1.2 <2.0' --stop-reverted 3 --stop-action rollback
  hawserctl campaign create 70ly1tvowt696r15 412233445566778899 --all --wave 20,soak=2h,reconnects=2,offline=5,gate=abort --wave 200,hold --wave 100%
  hawserctl campaign create 70ly1tvowt696r15 412233445566778899 --spec campaign.json`,
		Args: exactArgs("PRODUCT", "FIRMWARE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.read(c, args[1]); err != nil {
				return err
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CreateCampaign(ctx, args[0], a.body)
			})
		},
	}
	a.add(cmd.Flags())
	return cmd
}

func newCampaignDryRun(c *cli) *cobra.Command {
	var a campaignFlags
	cmd := &cobra.Command{
		Use:     "dry-run PRODUCT FIRMWARE",
		Short:   "Show what a campaign would do: targets, who is none and why, waves, bytes, time",
		Example: "  hawserctl campaign dry-run 70ly1tvowt696r15 412233445566778899 --all --versions '>=1.2' --wave 5% --wave 100% --per-minute 60",
		Args:    exactArgs("PRODUCT", "FIRMWARE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.read(c, args[1]); err != nil {
				return err
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.PlanCampaign(ctx, args[0], a.body)
			})
		},
	}
	a.add(cmd.Flags())
	return cmd
}
