package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newAlarm(c *cli) *cobra.Command {
	return group("alarm", "Alarms: list, get, acknowledge, clear, watch", "  hawserctl alarm list --state open,acknowledged\n  hawserctl alarm watch",
		newAlarmList(c), newAlarmWatch(c),
		simple(c, "get ID", "Get an alarm", "hawserctl alarm get 4", func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
			return client.GetAlarm(ctx, args[0])
		}),
		simple(c, "acknowledge ID", "Say that somebody looks after an alarm", "hawserctl alarm acknowledge 4",
			func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
				return client.AcknowledgeAlarm(ctx, args[0])
			}),
		simple(c, "clear ID", "Clear an alarm by hand; it opens again if its condition is still true", "hawserctl alarm clear 4",
			func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
				return client.ClearAlarm(ctx, args[0])
			}))
}

func newAlarmList(c *cli) *cobra.Command {
	var p apitype.ListAlarmsParams
	var states, severities []string
	var product, device, rule string
	var most int
	var ch choice
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List alarms, the newest first",
		Example: "  hawserctl alarm list --state open\n  hawserctl alarm list --severity critical,major --product 70ly1tvowt696r15\n  hawserctl alarm list --filter 'device:pump* opened>-1d' --sort severity",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := cmd.Flags()
			p.Product, p.Device, p.Rule = given(f, "product", &product), given(f, "device", &device), given(f, "rule", &rule)
			p.Filter, p.Sort = ch.parts()
			for _, s := range states {
				p.State = appendTo(p.State, apitype.AlarmState(s))
			}
			for _, s := range severities {
				p.Severity = appendTo(p.Severity, apitype.AlarmSeverity(s))
			}
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				p.Limit, p.Cursor = limit, cursor
				return client.ListAlarms(ctx, &p)
			})
			if err != nil {
				return err
			}
			return c.printList(items, "id", "openedAt", "severity", "state", "ruleName", "productSN", "deviceSN", "text")
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&states, "state", nil, "only these: open, acknowledged, cleared")
	f.StringSliceVar(&severities, "severity", nil, "only these: critical, major, minor, warning")
	f.StringVar(&product, "product", "", "only of this product")
	f.StringVar(&device, "device", "", "only of this device of the product")
	f.StringVar(&rule, "rule", "", "only of this alarm rule")
	ch.add(cmd, "state, severity, text, product, device, rule (its id), ruleName, value, seen, opened, acknowledged, cleared, changed",
		"severity, text, product, device, ruleName, seen, acknowledged, cleared, changed")
	limitFlag(cmd, &most)
	return cmd
}

func appendTo[T any](list *[]T, v T) *[]T {
	if list == nil {
		return &[]T{v}
	}
	all := append(*list, v)
	return &all
}

func newAlarmWatch(c *cli) *cobra.Command {
	s := stream{cli: c, notice: func(string, []byte) {}}
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show alarms as they are opened, acknowledged and cleared",
		Long: `Show alarms as they are opened, acknowledged and cleared. -o json prints one alarm a line.
When the connection breaks it is taken up again where it was. Ctrl-C ends it.`,
		Example: "  hawserctl alarm watch\n  hawserctl alarm watch -o json --count 1",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.begin = func(ctx context.Context, client *apiclient.Client, last string) (*http.Response, error) {
				p := &apitype.StreamAlarmsParams{}
				if last != "" {
					p.LastEventID = &last
				}
				return client.StreamAlarms(ctx, p)
			}
			s.event = func(data []byte) error {
				if raw, err := s.printEvent(data); raw {
					return err
				}
				var x apitype.Alarm
				if err := json.Unmarshal(data, &x); err != nil {
					return fmt.Errorf("read an alarm: %w", err)
				}
				of := x.RuleName
				if x.DeviceSN != "" {
					of += " " + x.ProductSN + "/" + x.DeviceSN
				}
				_, err := fmt.Fprintf(c.out, "%s %-12s %-8s %s: %s\n", x.ChangedAt.Local().Format("15:04:05"), x.State, x.Severity, of, x.Text)
				return err
			}
			return s.run(cmd.Context())
		},
	}
	cmd.Flags().IntVar(&s.count, "count", 0, "end after so many changes")
	return cmd
}

func newAlarmRule(c *cli) *cobra.Command {
	return group("alarm-rule", "Alarm rules: when there is an alarm: create, list, get, update, delete",
		"  hawserctl alarm-rule create away --severity major --product 70ly1tvowt696r15 --offline --for 10m --channel 4\n  hawserctl alarm-rule list",
		newAlarmRuleCreate(c), newAlarmRuleList(c), newAlarmRuleUpdate(c),
		simple(c, "get ID", "Get an alarm rule", "hawserctl alarm-rule get 4", func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
			return client.GetAlarmRule(ctx, args[0])
		}),
		simple(c, "delete ID", "Delete an alarm rule; its open alarms are cleared", "hawserctl alarm-rule delete 4",
			func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
				return client.DeleteAlarmRule(ctx, args[0])
			}))
}

func newAlarmRuleList(c *cli) *cobra.Command {
	var most int
	var ch choice
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List alarm rules",
		Example: "  hawserctl alarm-rule list\n  hawserctl alarm-rule list --filter 'state:enabled severity:critical'",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, sort := ch.parts()
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListAlarmRules(ctx, &apitype.ListAlarmRulesParams{Filter: filter, Sort: sort, Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "id", "name", "enabled", "severity", "condition", "debounce", "channels")
		},
	}
	ch.add(cmd, "name, state (enabled, disabled), severity, kind (metric, property, presence, rule), updated",
		"name, state, updated")
	limitFlag(cmd, &most)
	return cmd
}

// alarmRule are the flags that say what an alarm rule is.
type alarmRule struct {
	name, description, severity             string
	product, device, property, metric, rule string
	op, value, clear, window, hold, hits    string
	offline, tellCleared, disabled          bool
	channels                                []string
}

const alarmRuleHelp = `The condition is one of: --property of the devices of a --product (--device is only one
of them) compared by --op with --value; --metric of a --product, of a --rule, or of the
project, over --window, likewise; or --offline: a device of the --product is away. With
--clear the alarm ends at another value. --for is how long it must be so first, --hits 3/5
how often: in three of the last five reports, or minutes.`

func (a *alarmRule) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.description, "description", "", "description")
	f.StringVar(&a.severity, "severity", "", "critical, major, minor or warning")
	f.StringVar(&a.product, "product", "", "product")
	f.StringVar(&a.device, "device", "", "only this device of the product")
	f.StringVar(&a.property, "property", "", "property of a device, a.b for a member of a structure")
	f.StringVar(&a.metric, "metric", "", "metric, as metrics list has them")
	f.StringVar(&a.rule, "rule", "", "rule that the metric is of")
	f.BoolVar(&a.offline, "offline", false, "a device is away")
	f.StringVar(&a.op, "op", "", "comparison: > >= < <= == !=")
	f.StringVar(&a.value, "value", "", "value to compare with; what is no JSON is a text")
	f.StringVar(&a.clear, "clear", "", "value that the alarm ends at")
	f.StringVar(&a.window, "window", "", "what a metric is taken over: 1m to 24h")
	f.StringVar(&a.hold, "for", "", "how long the condition must be true first: 90s, 5m")
	f.StringVar(&a.hits, "hits", "", "how often: 3/5")
	f.StringSliceVar(&a.channels, "channel", nil, "ids of channels that are told")
	f.BoolVar(&a.tellCleared, "tell-cleared", false, "tell the channels of the end, too")
	f.BoolVar(&a.disabled, "disabled", false, "do not judge")
}

// apply puts what the flags say over a rule.
func (a *alarmRule) apply(cmd *cobra.Command, b *apitype.NewAlarmRule) error {
	f := cmd.Flags()
	set := func(name string, into *string, v string) {
		if f.Changed(name) {
			*into = v
		}
	}
	k := &b.Condition
	set("description", &b.Description, a.description)
	set("severity", (*string)(&b.Severity), a.severity)
	set("product", &k.ProductSN, a.product)
	set("device", &k.DeviceSN, a.device)
	set("property", &k.Property, a.property)
	set("metric", &k.Metric, a.metric)
	set("rule", &k.Rule, a.rule)
	set("op", (*string)(&k.Op), a.op)
	for name, into := range map[string]*apitype.JSONValue{"value": &k.Value, "clear": &k.ClearValue} {
		if f.Changed(name) {
			text := map[string]string{"value": a.value, "clear": a.clear}[name]
			*into = apitype.JSONValue(text)
			if !json.Valid([]byte(text)) {
				*into = apitype.JSONValue(quote(text))
			}
		}
	}
	switch {
	case a.offline:
		k.Kind = "presence"
	case k.Property != "":
		k.Kind = "property"
	case k.Rule != "":
		k.Kind = "rule"
	case k.Metric != "":
		k.Kind = "metric"
	case k.Kind == "":
		return usageError{errors.New("the condition is missing: --property, --metric or --offline")}
	}
	if f.Changed("channel") {
		b.Channels = a.channels
	}
	if f.Changed("tell-cleared") {
		b.TellCleared = a.tellCleared
	}
	if f.Changed("disabled") {
		enabled := !a.disabled
		b.Enabled = &enabled
	}
	return a.times(cmd, b)
}

// times reads the flags that are durations or counts.
func (a *alarmRule) times(cmd *cobra.Command, b *apitype.NewAlarmRule) error {
	f := cmd.Flags()
	if f.Changed("window") {
		d, err := age(a.window)
		if err != nil {
			return usageError{fmt.Errorf("--window: %w", err)}
		}
		b.Condition.WindowMinutes = int(d.Minutes())
	}
	if f.Changed("for") {
		d, err := age(a.hold)
		if err != nil {
			return usageError{fmt.Errorf("--for: %w", err)}
		}
		b.Debounce = apitype.AlarmDebounce{Seconds: int(d.Seconds())}
	}
	if f.Changed("hits") {
		n, of, _ := strings.Cut(a.hits, "/")
		count, err1 := strconv.Atoi(n)
		all, err2 := strconv.Atoi(of)
		if err1 != nil || err2 != nil {
			return usageError{fmt.Errorf("--hits %q: must be like 3/5", a.hits)}
		}
		b.Debounce = apitype.AlarmDebounce{Count: count, Of: all}
	}
	return nil
}

func newAlarmRuleCreate(c *cli) *cobra.Command {
	var a alarmRule
	cmd := &cobra.Command{
		Use:   "create NAME --severity SEVERITY",
		Short: "Create an alarm rule",
		Long:  "Create an alarm rule. " + alarmRuleHelp,
		Example: `  hawserctl alarm-rule create hot --severity major --product 70ly1tvowt696r15 --property temperature --op '>' --value 30 --clear 25 --for 5m --channel 4
  hawserctl alarm-rule create away --severity minor --product 70ly1tvowt696r15 --offline --for 10m
  hawserctl alarm-rule create dead --severity critical --rule 4 --metric rule_dead --window 5m --op '>' --value 0`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b := apitype.NewAlarmRule{Name: args[0]}
			if err := a.apply(cmd, &b); err != nil {
				return err
			}
			if b.Severity == "" {
				return usageError{errors.New("--severity is missing")}
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CreateAlarmRule(ctx, b)
			})
		},
	}
	a.add(cmd)
	return cmd
}

func newAlarmRuleUpdate(c *cli) *cobra.Command {
	var a alarmRule
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change what the flags name of an alarm rule",
		Long: `Change what the flags name of an alarm rule; the rest stays. With another condition, or
switched off, its open alarms are cleared. ` + alarmRuleHelp,
		Example: "  hawserctl alarm-rule update 4 --value 35\n  hawserctl alarm-rule update 4 --disabled\n  hawserctl alarm-rule update 4 --disabled=false",
		Args:    exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetAlarmRule(ctx, args[0])
			})
			if err != nil {
				return err
			}
			var now apitype.AlarmRule
			var b apitype.NewAlarmRule
			if err := errors.Join(json.Unmarshal(raw, &now), json.Unmarshal(raw, &b)); err != nil {
				return fmt.Errorf("read the hub's alarm rule: %w", err)
			}
			if cmd.Flags().Changed("name") {
				b.Name = a.name
			}
			if err := a.apply(cmd, &b); err != nil {
				return err
			}
			c.holdTo(now.Revision)
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UpdateAlarmRule(ctx, args[0], b)
			})
		},
	}
	cmd.Flags().StringVar(&a.name, "name", "", "name")
	a.add(cmd)
	return cmd
}
