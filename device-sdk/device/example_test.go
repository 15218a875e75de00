package device_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
)

// testHub stands in for a hub, so that the examples run anywhere.
func testHub() (hub *devicetest.Hub, cfg device.Config) {
	hub, err := devicetest.Start(slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	id := hub.AddDevice(devicetest.Device{})
	return hub, device.Config{Server: hub.URL(), Product: id.Product, SN: id.SN, Secret: hub.Secret(id), RequestTimeout: time.Minute}
}

// run starts a device and returns what stops it.
func run(ctx context.Context, d *device.Device) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			fmt.Println("run:", err)
		}
	}
}

// A device reports values and an event.
func Example() {
	hub, cfg := testHub()
	defer hub.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	dev, err := device.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer run(ctx, dev)()

	if err := dev.PostProperties(ctx, device.Properties{"temperature": 21.5, "switch": true}); err != nil {
		fmt.Println(err)
	}
	if err := dev.PostEvent(ctx, "alarm", map[string]any{"code": 3}); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("temperature %s, switch %s\n", hub.Reported(dev.Identity())["temperature"], hub.Reported(dev.Identity())["switch"])
	// Output: temperature 21.5, switch 1
}

// A command's handler gets the parameters and returns the results.
func ExampleDevice_HandleCommand() {
	hub, cfg := testHub()
	defer hub.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	dev, err := device.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = dev.HandleCommand("reboot", func(ctx context.Context, c *device.Command) (any, error) {
		var in struct {
			Delay int `json:"delay"`
		}
		if err := c.Decode(&in); err != nil {
			return nil, err
		}
		return map[string]any{"accepted": in.Delay <= 60}, nil
	})
	if err != nil {
		fmt.Println(err)
	}
	defer run(ctx, dev)()
	if err := dev.WaitConnected(ctx); err != nil {
		fmt.Println(err)
	}

	reply, err := hub.Command(ctx, dev.Identity(), "reboot", map[string]any{"delay": 10})
	fmt.Println(int(reply.RetCode), string(reply.Output), err)
	// Output: 0 {"accepted":1} <nil>
}

// Desired values reach the handler, now or when the device is back; what it
// returns is reported, and the hub forgets the wish.
func ExampleShadow_OnDesired() {
	hub, cfg := testHub()
	defer hub.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	dev, err := device.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = dev.Shadow().OnDesired(func(ctx context.Context, desired device.Properties) (device.Properties, error) {
		fmt.Println("fan should run at", desired["fan"])
		return device.Properties{"fan": 80}, nil // it can't run faster
	})
	if err != nil {
		fmt.Println(err)
	}
	// An application asks while the device is away.
	if err := hub.Desire(dev.Identity(), map[string]any{"fan": 100}); err != nil {
		fmt.Println(err)
	}
	defer run(ctx, dev)()

	err = hub.WaitShadow(ctx, dev.Identity(), func(s *shadowdoc.Document) bool { return !s.HasDesired() && s.Version > 1 })
	fan, _ := hub.Shadow(dev.Identity()).Reported("fan")
	fmt.Println("reported", fan, err)
	// Output:
	// fan should run at 100
	// reported 80 <nil>
}
