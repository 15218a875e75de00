package main

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// productPublish is product publish, or unpublish.
func productPublish(c *cli, verb, short string, published bool) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " P",
		Short:   short,
		Example: "  hawserctl product " + verb + " 70ly1tvowt696r15",
		Args:    exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UpdateProduct(ctx, args[0], apitype.ProductPatch{Published: &published})
			})
		},
	}
}

// settingFlags are the flags of product settings.
type settingFlags struct {
	rate                                                 float64
	bytes, packet, subscriptions, days, count            int64
	qos2, retain, will, shadowMerge, proof, consent, all bool
	messageLog                                           string
}

func newProductSettings(c *cli) *cobra.Command {
	var v settingFlags
	cmd := &cobra.Command{
		Use:   "settings P",
		Short: "Show or change what a product sets of the hub's limits and switches",
		Long: `Show what a product sets for its devices of the hub's limits and switches, or, with flags,
change it. What no flag names stays; --reset goes back to the hub's for all others.`,
		Example: `  hawserctl product settings 70ly1tvowt696r15
  hawserctl product settings 70ly1tvowt696r15 --publish-rate 5 --qos2=false
  hawserctl product settings 70ly1tvowt696r15 --reset`,
		Args: exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.productSettings(cmd, args[0], &v)
		},
	}
	f := cmd.Flags()
	f.Float64Var(&v.rate, "publish-rate", 0, "messages a second a connection")
	f.Int64Var(&v.bytes, "publish-bytes", 0, "bytes a second a connection")
	f.Int64Var(&v.packet, "max-packet", 0, "bytes of topic and payload of a publish")
	f.Int64Var(&v.subscriptions, "max-subscriptions", 0, "subscriptions a device")
	f.Int64Var(&v.days, "history-days", 0, "how far back property values are shown; 0 keeps none")
	f.Int64Var(&v.count, "history-count", 0, "how many values of each property are shown")
	f.BoolVar(&v.qos2, "qos2", true, "take QoS 2")
	f.BoolVar(&v.retain, "retain", true, "take retained messages")
	f.BoolVar(&v.will, "will", true, "take connections with a will")
	f.BoolVar(&v.shadowMerge, "shadow-merge", false, "merge nested objects of shadows key by key")
	f.BoolVar(&v.consent, "subdevice-consent", false, "have an operator consent before a gateway gets a sub-device (topo requests)")
	f.BoolVar(&v.proof, "subdevice-proof", false, "want gateways to prove that they know a sub-device's secret")
	f.StringVar(&v.messageLog, "message-log", "", "what the message log keeps: all, errors or off")
	f.BoolVar(&v.all, "reset", false, "forget what the product set before")
	return cmd
}

func (c *cli) productSettings(cmd *cobra.Command, product string, v *settingFlags) error {
	b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.GetProduct(ctx, product)
	})
	if err != nil {
		return err
	}
	var p apitype.Product
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	if s, changed := v.apply(cmd, p.Settings); changed {
		c.holdTo(p.Revision)
		b, err = c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return client.UpdateProduct(ctx, product, apitype.ProductPatch{Settings: &s})
		})
		if err != nil || b == nil {
			return err
		}
		p = apitype.Product{} // what the answer leaves out is set no longer
		if err := json.Unmarshal(b, &p); err != nil {
			return err
		}
	}
	out, err := json.Marshal(p.Settings)
	if err != nil {
		return err
	}
	return c.printOne(out)
}

// apply puts what the flags name into s.
func (v *settingFlags) apply(cmd *cobra.Command, s apitype.ProductSettings) (apitype.ProductSettings, bool) {
	f, changed := cmd.Flags(), v.all
	if v.all {
		s = apitype.ProductSettings{}
	}
	set(f.Changed("publish-rate"), &changed, &s.PublishRate, v.rate)
	set(f.Changed("publish-bytes"), &changed, &s.PublishBytes, v.bytes)
	set(f.Changed("max-packet"), &changed, &s.MaxPacket, v.packet)
	set(f.Changed("max-subscriptions"), &changed, &s.MaxSubscriptions, v.subscriptions)
	set(f.Changed("history-days"), &changed, &s.HistoryDays, v.days)
	set(f.Changed("history-count"), &changed, &s.HistoryCount, v.count)
	set(f.Changed("qos2"), &changed, &s.Qos2, v.qos2)
	set(f.Changed("retain"), &changed, &s.Retain, v.retain)
	set(f.Changed("will"), &changed, &s.Will, v.will)
	set(f.Changed("shadow-merge"), &changed, &s.ShadowMerge, v.shadowMerge)
	set(f.Changed("subdevice-proof"), &changed, &s.SubdeviceProof, v.proof)
	set(f.Changed("subdevice-consent"), &changed, &s.SubdeviceConsent, v.consent)
	set(f.Changed("message-log"), &changed, &s.MessageLog, v.messageLog)
	return s, changed
}

func set[T any](named bool, changed *bool, field **T, value T) {
	if named {
		*field, *changed = &value, true
	}
}
