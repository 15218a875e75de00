// Command sensor is a small device program on the SDK: it posts a temperature
// every few seconds, takes the commands "reboot", lets the cloud set its
// interval through the shadow, and goes on through outages of the hub.
//
//	go run ./device-sdk/examples/sensor --server tcp://127.0.0.1:1883 \
//	    --product xg8bmk2p0vw4q1zt --device sensor-1 --secret-file secret.txt
//
// Create the product and the device with hawserctl first; the product's thing
// model needs a float property "temperature" and a command "reboot".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/credential"
)

func main() {
	server := flag.String("server", "tcp://127.0.0.1:1883", "the hub: tcp://, tls://, ws:// or wss://")
	product := flag.String("product", "", "ProductSN")
	sn := flag.String("device", "", "DeviceSN")
	secretFile := flag.String("secret-file", "", "file that holds the device's secret")
	caFile := flag.String("ca", "", "PEM file of the hub's certificate authority, for tls:// and wss://")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *server, *product, *sn, *secretFile, *caFile)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sensor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, server, product, sn, secretFile, caFile string) error {
	log := slog.Default()
	secret, err := os.ReadFile(secretFile)
	if err != nil {
		return fmt.Errorf("read the secret: %w", err)
	}
	cfg := device.Config{
		Server: server, Product: product, SN: sn, Secret: credential.Secret(strings.TrimSpace(string(secret))),
		Persistent: true,
	}
	if caFile != "" {
		if cfg.TLS.CA, err = os.ReadFile(caFile); err != nil {
			return fmt.Errorf("read the CA: %w", err)
		}
	}
	dev, err := device.New(cfg, log)
	if err != nil {
		return err
	}
	s := &sensor{dev: dev, log: log}
	s.interval.Store(int64(5 * time.Second))
	if err := s.register(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- dev.Run(ctx); cancel() }()
	s.measure(ctx)
	err = <-ended
	if errors.Is(err, link.ErrBadCredentials) {
		return fmt.Errorf("%w: check --product, --device and the secret", err)
	}
	return err
}

// sensor is the device's own program.
type sensor struct {
	dev      *device.Device
	log      *slog.Logger
	interval atomic.Int64 // ns
}

// register says what the device answers to; it comes before Run.
func (s *sensor) register() error {
	err := s.dev.HandleCommand("reboot", func(_ context.Context, c *device.Command) (any, error) {
		s.log.Info("reboot requested", "request", c.RequestID)
		return nil, nil
	})
	if err != nil {
		return err
	}
	return s.dev.Shadow().OnDesired(func(_ context.Context, desired device.Properties) (device.Properties, error) {
		sec, ok := desired["interval"].(float64)
		if !ok {
			return nil, nil
		}
		sec = min(max(sec, 1), 3600)
		s.interval.Store(int64(sec * float64(time.Second)))
		return device.Properties{"interval": sec}, nil
	})
}

// measure posts until ctx ends. A value that can't be posted in time is given
// up: the next one is newer.
func (s *sensor) measure(ctx context.Context) {
	for start := time.Now(); ; {
		interval := time.Duration(s.interval.Load())
		t := 20 + 5*math.Sin(time.Since(start).Seconds()/60)
		post, cancel := context.WithTimeout(ctx, interval)
		err := s.dev.PostProperties(post, device.Properties{
			"temperature": device.Sample{Value: math.Round(t*100) / 100, Time: time.Now()},
		})
		if err != nil && ctx.Err() == nil {
			s.log.Warn("a value was not posted", "err", err)
		}
		<-post.Done()
		cancel()
		if ctx.Err() != nil {
			return
		}
	}
}
