// Command appliance is a device whose firmware is updated over the air: signed, by deltas, with a trial and the way back.
//
// What it updates is a file, in two slots under --data; a device that boots from its slots brings an update.Installer for its boot loader
// instead (edge-agent/slot has some). Put the first image there, and the root document of your keys beside:
//
//	mkdir -p data/slots/A && cp thermo-1.0.img data/slots/A/default
//	go run ./device-sdk/examples/appliance --server tls://hub.example:8883 --product xg8bmk2p0vw4q1zt --device thermo-1 \
//	    --secret-file secret.txt --root root.1 --class example.com/thermo-2 --data data
//
// docs/sdk-ota.md goes through it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/protocol/credential"
)

type options struct {
	server, product, device, secretFile, ca, root, class, data, version string
	trial                                                               time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.server, "server", "tcp://127.0.0.1:1883", "the hub: tcp://, tls://, ws:// or wss://")
	flag.StringVar(&o.product, "product", "", "ProductSN")
	flag.StringVar(&o.device, "device", "", "DeviceSN")
	flag.StringVar(&o.secretFile, "secret-file", "", "file that holds the device's secret")
	flag.StringVar(&o.ca, "ca", "", "PEM file of the hub's certificate authority, for tls:// and for downloads")
	flag.StringVar(&o.root, "root", "", "root document that the device was shipped with")
	flag.StringVar(&o.class, "class", "", "vendor's domain and class, as hawserctl firmware build --class has it")
	flag.StringVar(&o.data, "data", "data", "folder of slots and records")
	flag.StringVar(&o.version, "version", "1.0", "version of the first image in slot A")
	flag.DurationVar(&o.trial, "trial", 10*time.Minute, "how long new firmware has to become well")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.life(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "appliance:", err)
		os.Exit(1)
	}
}

// life starts the device again and again, as its power supply would.
func (o options) life(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := o.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// run is the device from one start to the next.
func (o options) run(ctx context.Context) error {
	ctx, restart := context.WithCancel(ctx)
	defer restart()
	log := slog.Default()
	slots, err := update.OpenFolder(o.data, restart)
	if err != nil {
		return err
	}
	slot, err := slots.Start()
	if err != nil {
		return err
	}
	log.Info("started", "slot", slot, "image", slots.Path("default"))
	dev, up, err := o.assemble(slots, log)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var errs [2]error
	wg.Go(func() { errs[0] = dev.Run(ctx); restart() })
	wg.Go(func() { errs[1] = up.Run(ctx); restart() })
	wg.Wait()
	return errors.Join(errs[:]...)
}

// assemble makes the connection, and what takes updates over it.
func (o options) assemble(slots *update.Folder, log *slog.Logger) (*device.Device, *update.Updater, error) {
	secret, err := os.ReadFile(o.secretFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the secret: %w", err)
	}
	root, err := os.ReadFile(o.root)
	if err != nil {
		return nil, nil, fmt.Errorf("read the root document: %w", err)
	}
	cfg := device.Config{
		Server: o.server, Product: o.product, SN: o.device, Secret: credential.Secret(strings.TrimSpace(string(secret))),
		Persistent: true, SignedFirmware: true, KeepTrying: true,
	}
	if o.ca != "" {
		if cfg.TLS.CA, err = os.ReadFile(o.ca); err != nil {
			return nil, nil, fmt.Errorf("read the CA: %w", err)
		}
	}
	dev, err := device.New(cfg, log)
	if err != nil {
		return nil, nil, err
	}
	domain, class, ok := strings.Cut(o.class, "/")
	if !ok {
		return nil, nil, fmt.Errorf("--class %q: want a domain, a slash and a name", o.class)
	}
	vendor := manifest.VendorID(domain)
	ucfg := update.Config{
		Device: dev.Identity().ClientID(), Secret: cfg.Secret, Root: root,
		Modules:      map[string]update.Module{"default": {Vendor: vendor, Class: manifest.ClassID(vendor, class), Version: o.version}},
		Link:         dev.Firmware(),
		Store:        slots,
		Storage:      slots,
		Installer:    slots,
		TrialTimeout: o.trial,
		Healthy:      func(context.Context) error { return check(slots.Path("default")) },
	}
	if ucfg.Download.TLS, err = (link.TLS{CA: cfg.TLS.CA}).Config(); err != nil {
		return nil, nil, err
	}
	up, err := update.New(ucfg, log)
	return dev, up, err
}

// check is what this appliance has for a self-test: an image that says "unwell" at its start is not well.
func check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, len("unwell"))
	if n, _ := f.ReadAt(b, 0); string(b[:n]) == "unwell" {
		return errors.New("the image says that it is not well")
	}
	return nil
}
