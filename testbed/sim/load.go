package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// loadConfig is what `sim load` can be told.
type loadConfig struct {
	api, apiKey, mqtt string
	devices, payload  int
	rate              float64
	duration          time.Duration
	qos               int
}

func loadFlags(args []string, errOut io.Writer) (loadConfig, error) {
	var c loadConfig
	f := flag.NewFlagSet("sim load", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.StringVar(&c.api, "hub", envOr("HAWSER_HUB", "http://127.0.0.1:8080"), "the hub's API (HAWSER_HUB)")
	f.StringVar(&c.mqtt, "mqtt", "tcp://127.0.0.1:1883", "the hub's MQTT `address`")
	f.IntVar(&c.devices, "devices", 100, "how many devices connect")
	f.Float64Var(&c.rate, "rate", 100, "messages a second in all")
	f.IntVar(&c.payload, "payload", 200, "bytes of a message")
	f.IntVar(&c.qos, "qos", 1, "0 or 1")
	f.DurationVar(&c.duration, "duration", 30*time.Second, "how long to publish")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	c.apiKey = os.Getenv("HAWSER_API_KEY")
	switch {
	case f.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case c.apiKey == "":
		return c, errors.New("set HAWSER_API_KEY to a key of the hub")
	case c.devices < 1 || c.rate <= 0 || c.payload < 20 || c.qos < 0 || c.qos > 1 || c.duration <= 0:
		return c, errors.New("--devices, --rate and --duration must be positive, --payload at least 20, --qos 0 or 1")
	}
	return c, nil
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// loader counts what the fleet of `sim load` did.
type loader struct {
	sent, acked, failed atomic.Int64

	mu    sync.Mutex
	times []time.Duration // from sending to acknowledgement
}

// loadProduct is the product of the load's devices.
const loadProduct = "Load test"

// load connects the devices, publishes and reports.
func load(ctx context.Context, cfg loadConfig, out io.Writer) error {
	client, err := apiclient.Connect(cfg.api, cfg.apiKey, nil)
	if err != nil {
		return err
	}
	accounts, err := loadAccounts(ctx, &apiclient.ClientWithResponses{ClientInterface: client}, cfg.devices)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	links, wait, err := connectAll(ctx, cfg, accounts)
	if err != nil {
		return err
	}
	defer wait()
	defer cancel()
	fmt.Fprintf(out, "%d devices connected\n", len(links))
	l := &loader{}
	start := time.Now()
	l.publish(ctx, cfg, links)
	l.report(out, time.Since(start))
	return nil
}

// loadAccounts makes enough devices, in batches.
func loadAccounts(ctx context.Context, api *apiclient.ClientWithResponses, n int) ([]account, error) {
	sn, err := product(ctx, api, loadProduct, apitype.ProductKindDevice, false)
	if err != nil {
		return nil, err
	}
	var accounts []account
	for len(accounts) < n {
		count := min(n-len(accounts), 1000)
		r, err := api.CreateDevicesWithResponse(ctx, sn, apitype.NewDevices{Count: count})
		if err != nil {
			return nil, err
		}
		if r.JSON201 == nil {
			return nil, problem(r.HTTPResponse, r.ApplicationProblemJSONDefault)
		}
		for _, d := range r.JSON201.Items {
			accounts = append(accounts, account{ident.Device{Product: sn, SN: d.DeviceSN}, credential.Secret(d.DeviceSecret)})
		}
	}
	return accounts, nil
}

// connectAll connects every account and returns when all are in.
func connectAll(ctx context.Context, cfg loadConfig, accounts []account) (links []*link.Link, wait func(), err error) {
	var wg sync.WaitGroup
	for _, a := range accounts {
		l, err := link.New(link.Config{Server: cfg.mqtt, Device: a.id, Secret: a.secret}, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, wg.Wait, err
		}
		links = append(links, l)
	}
	for _, l := range links {
		wg.Go(func() { _ = l.Run(ctx) }) // WaitConnected tells of a refusal
	}
	for _, l := range links {
		if err := l.WaitConnected(ctx); err != nil {
			return nil, wg.Wait, err
		}
	}
	return links, wg.Wait, nil
}

// publish sends at the rate, from one device after the other.
func (l *loader) publish(ctx context.Context, cfg loadConfig, links []*link.Link) {
	ctx, cancel := context.WithTimeout(ctx, cfg.duration)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	gap := time.Duration(float64(time.Second) / cfg.rate)
	next := time.Now()
	for i := 0; ctx.Err() == nil; i++ {
		if d := time.Until(next); d > 0 {
			select {
			case <-time.After(d):
			case <-ctx.Done():
				return
			}
		}
		next = next.Add(gap)
		at := links[i%len(links)]
		payload := fmt.Appendf(make([]byte, 0, cfg.payload), `{"n":%d,"pad":"`, i)
		for len(payload) < cfg.payload-2 {
			payload = append(payload, 'x')
		}
		sent := time.Now()
		r, err := at.Send(ctx, link.Message{Topic: topic.Name(at.Device(), "upload"), Payload: append(payload, '"', '}'), QoS: byte(cfg.qos)})
		if err != nil {
			l.failed.Add(1)
			continue
		}
		l.sent.Add(1)
		wg.Go(func() { l.settle(r, sent) })
	}
}

func (l *loader) settle(r link.Receipt, sent time.Time) {
	<-r.Done()
	if r.Err() != nil {
		l.failed.Add(1)
		return
	}
	l.acked.Add(1)
	l.mu.Lock()
	l.times = append(l.times, time.Since(sent))
	l.mu.Unlock()
}

func (l *loader) report(out io.Writer, took time.Duration) {
	slices.Sort(l.times)
	at := func(q float64) time.Duration {
		if len(l.times) == 0 {
			return 0
		}
		return l.times[min(int(q*float64(len(l.times))), len(l.times)-1)].Round(10 * time.Microsecond)
	}
	fmt.Fprintf(out, "sent %d, acknowledged %d, failed %d in %s: %.0f/s; acknowledged after p50 %s, p99 %s, max %s\n",
		l.sent.Load(), l.acked.Load(), l.failed.Load(), took.Round(time.Millisecond),
		float64(l.acked.Load())/took.Seconds(), at(0.5), at(0.99), at(1))
}
