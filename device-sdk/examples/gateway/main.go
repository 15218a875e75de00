// Command gateway carries one sub-device: it adds it to its topology, logs it in, and posts for it.
//
//	go run ./device-sdk/examples/gateway -server tcp://127.0.0.1:1883 -product P -sn gateway-1 -secret S \
//	    -sub-product Q -sub-sn meter-1 -sub-secret T
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/protocol/credential"
)

func main() {
	var cfg device.Config
	var sub device.Subdevice
	var secret, subSecret string
	flag.StringVar(&cfg.Server, "server", "tcp://127.0.0.1:1883", "the hub")
	flag.StringVar(&cfg.Product, "product", "", "the gateway's ProductSN")
	flag.StringVar(&cfg.SN, "sn", "", "the gateway's DeviceSN")
	flag.StringVar(&secret, "secret", "", "the gateway's DeviceSecret")
	flag.StringVar(&sub.Product, "sub-product", "", "the sub-device's ProductSN")
	flag.StringVar(&sub.SN, "sub-sn", "", "the sub-device's DeviceSN")
	flag.StringVar(&subSecret, "sub-secret", "", "the sub-device's DeviceSecret, where its product wants proof")
	flag.Parse()
	cfg.Secret, sub.Secret = credential.Secret(secret), credential.Secret(subSecret)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, cfg, sub); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg device.Config, sub device.Subdevice) error {
	g, err := device.NewGateway(cfg, slog.Default())
	if err != nil {
		return err
	}
	err = g.HandleNotices(ctx, func(_ context.Context, n device.Notice) {
		for _, s := range n.Subdevices {
			slog.Info("the hub changed a sub-device", "what", n.What, "device", s.SN)
		}
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	if err := carry(ctx, g, sub); err != nil {
		cancel()
		return fmt.Errorf("%w, %w", err, <-ended)
	}
	return <-ended
}

// carry logs the sub-device in and posts for it.
func carry(ctx context.Context, g *device.Gateway, sub device.Subdevice) error {
	if err := g.Add(ctx, sub); err != nil {
		return fmt.Errorf("add %s: %w", sub.SN, err)
	}
	if err := g.Login(ctx, sub); err != nil {
		return fmt.Errorf("log %s in: %w", sub.SN, err)
	}
	err := g.SubscribeFor(ctx, sub, "set", func(_ context.Context, m device.Message) {
		slog.Info("for the sub-device", "path", m.Path, "payload", string(m.Payload))
	})
	if err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		if err := g.PublishFor(ctx, sub, "upload", fmt.Appendf(nil, `{"time":%d}`, time.Now().UnixMilli())); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
