package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/protocol/message"
)

// thing is one simulated device: a sensor, or a meter behind the gateway.
type thing struct {
	dev   *device.Device
	log   *slog.Logger
	start atomic.Int64 // Unix seconds of its last "boot"
	every atomic.Int64 // ns between posts

	// mu guards the fields below.
	mu          sync.Mutex
	temperature float64
	humidity    float64
	on          bool
}

// alarmAbove is the temperature at which a thing posts an alarm.
const alarmAbove = 30

func newThing(server string, a account, log *slog.Logger) (*thing, error) {
	dev, err := device.New(device.Config{
		Server: server, Product: a.id.Product, SN: a.id.SN, Secret: a.secret, Persistent: true,
		ReconnectMin: 200 * time.Millisecond, ReconnectMax: 5 * time.Second, KeepTrying: true,
	}, log)
	if err != nil {
		return nil, err
	}
	t := &thing{dev: dev, log: log.With("device", a.id.SN), temperature: 18 + 8*rand.Float64(), humidity: 40 + 20*rand.Float64()}
	t.start.Store(time.Now().Unix())
	t.every.Store(int64(time.Second + rand.N(time.Second)))
	for _, err := range []error{
		dev.HandleCommand("reboot", t.reboot),
		dev.OnPropertySet(t.set),
		dev.Shadow().OnDesired(t.desired),
	} {
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

// run keeps the thing alive until ctx ends.
func (t *thing) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- t.dev.Run(ctx); cancel() }()
	report := time.Now()
	for ctx.Err() == nil {
		t.post(ctx)
		if time.Since(report) >= 0 {
			t.report(ctx)
			report = time.Now().Add(15 * time.Second)
		}
		select {
		case <-time.After(time.Duration(t.every.Load())):
		case <-ctx.Done():
		}
	}
	return <-ended
}

// post moves the values a little and posts them, with an alarm when it gets hot.
func (t *thing) post(ctx context.Context) {
	t.mu.Lock()
	before := t.temperature
	t.temperature = min(max(t.temperature+rand.NormFloat64()*0.6, -20), 40)
	t.humidity = min(max(t.humidity+rand.NormFloat64(), 5), 95)
	now := device.Properties{"temperature": round(t.temperature), "humidity": round(t.humidity), "switch": t.on}
	hot := before <= alarmAbove && t.temperature > alarmAbove
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := t.dev.PostProperties(ctx, now); err != nil && ctx.Err() == nil {
		t.log.Warn("properties were not posted", "err", err)
	}
	if !hot {
		return
	}
	if err := t.dev.PostEvent(ctx, "alarm", map[string]any{"temperature": now["temperature"]}); err != nil && ctx.Err() == nil {
		t.log.Warn("an alarm was not posted", "err", err)
	}
}

// report tells the shadow what does not change often.
func (t *thing) report(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := t.dev.Shadow().Update(ctx, device.Properties{
		"firmware": "1.0.0", "uptime": t.uptime(), "interval": round(time.Duration(t.every.Load()).Seconds()),
	})
	if err != nil && ctx.Err() == nil {
		t.log.Warn("the shadow was not updated", "err", err)
	}
}

func (t *thing) uptime() int64 { return time.Now().Unix() - t.start.Load() }

func (t *thing) reboot(_ context.Context, _ *device.Command) (any, error) {
	up := t.uptime()
	t.start.Store(time.Now().Unix())
	return map[string]any{"uptime": up}, nil
}

func (t *thing) set(ctx context.Context, p device.Properties) error {
	v, ok := p["switch"]
	if !ok {
		return message.CodeReadOnly
	}
	t.mu.Lock()
	t.on = v == 1.0 || v == true
	t.mu.Unlock()
	t.log.Info("switched", "on", v)
	return nil
}

// desired takes an interval in seconds; other wishes are taken as they are.
func (t *thing) desired(_ context.Context, p device.Properties) (device.Properties, error) {
	sec, ok := p["interval"].(float64)
	if !ok {
		return nil, nil
	}
	sec = min(max(sec, 0.2), 60)
	t.every.Store(int64(sec * float64(time.Second)))
	return device.Properties{"interval": sec}, nil
}

func round(v float64) float64 { return math.Round(v*100) / 100 }

// startThings runs a thing for each account until ctx ends; wait returns after
// all have ended.
func startThings(ctx context.Context, server string, accounts []account, log *slog.Logger) (wait func(), err error) {
	var wg sync.WaitGroup
	var things []*thing
	for _, a := range accounts {
		t, err := newThing(server, a, log)
		if err != nil {
			return nil, fmt.Errorf("device %s: %w", a.id, err)
		}
		things = append(things, t)
	}
	for _, t := range things {
		wg.Go(func() {
			if err := t.run(ctx); err != nil {
				t.log.Error("a simulated device ended", "err", err)
			}
		})
	}
	return wg.Wait, nil
}
