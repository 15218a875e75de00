// Command camera is a device program that sends its pictures to the hub, whatever happens on the way: it takes one every so often (a test image here, where a real
// camera has its sensor), and keeps it in a folder until the hub has it.
//
//	go run ./device-sdk/examples/camera --server tcp://127.0.0.1:1883 \
//	    --product xg8bmk2p0vw4q1zt --device camera-1 --secret-file secret.txt --folder /var/spool/camera
//
// Create the product and the device with hawserctl first. What has arrived is seen with
//
//	hawserctl file search xg8bmk2p0vw4q1zt --class image
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/device-sdk/upload"
	"github.com/hawser-iot/hawser/protocol/credential"
)

func main() {
	var c camera
	flag.StringVar(&c.server, "server", "tcp://127.0.0.1:1883", "the hub: tcp://, tls://, ws:// or wss://")
	flag.StringVar(&c.product, "product", "", "ProductSN")
	flag.StringVar(&c.sn, "device", "", "DeviceSN")
	flag.StringVar(&c.secretFile, "secret-file", "", "file that holds the device's secret")
	flag.StringVar(&c.caFile, "ca", "", "PEM file of the hub's certificate authority, for tls:// and https://")
	flag.StringVar(&c.folder, "folder", "pictures", "where pictures wait until the hub has them")
	flag.DurationVar(&c.every, "every", 30*time.Second, "how often a picture is taken")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := c.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "camera:", err)
		os.Exit(1)
	}
}

// camera is the device's own program.
type camera struct {
	server, product, sn, secretFile, caFile, folder string
	every                                           time.Duration

	uploader *upload.Uploader
	log      *slog.Logger
}

func (c *camera) run(ctx context.Context) error {
	c.log = slog.Default()
	if err := os.MkdirAll(c.folder, 0o700); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	dev, trust, err := c.connect()
	if err != nil {
		return err
	}
	hub, err := upload.NewMQTT(dev.Uploads(), c.log)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: trust}}
	c.uploader = upload.New(upload.Config{Hub: hub, Client: client}, c.log)

	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- dev.Run(ctx); cancel() }()
	c.work(ctx)
	err = <-ended
	if errors.Is(err, link.ErrBadCredentials) {
		return fmt.Errorf("%w: check --product, --device and the secret", err)
	}
	return err
}

// connect makes the device, and says whom it trusts over HTTPS.
func (c *camera) connect() (*device.Device, *tls.Config, error) {
	secret, err := os.ReadFile(c.secretFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the secret: %w", err)
	}
	cfg := device.Config{Server: c.server, Product: c.product, SN: c.sn, Secret: credential.Secret(strings.TrimSpace(string(secret)))}
	if c.caFile != "" {
		if cfg.TLS.CA, err = os.ReadFile(c.caFile); err != nil {
			return nil, nil, fmt.Errorf("read the CA: %w", err)
		}
	}
	trust, err := cfg.TLS.Config()
	if err != nil {
		return nil, nil, err
	}
	dev, err := device.New(cfg, c.log)
	return dev, trust, err
}

// work takes pictures and sends what waits, those of earlier runs first.
func (c *camera) work(ctx context.Context) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		if err := c.take(time.Now()); err != nil {
			c.log.Error("no picture", "err", err)
		}
		c.sendAll(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// take writes a picture. It has its last name only when it is whole.
func (c *camera) take(now time.Time) error {
	path := filepath.Join(c.folder, now.UTC().Format("20060102T150405.000")+".jpg")
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	err = jpeg.Encode(f, picture(now), nil)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// picture is what a sensor would see: stripes that move with the seconds.
func picture(now time.Time) image.Image {
	img := image.NewGray(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			img.SetGray(x, y, color.Gray{Y: uint8(x*y/64 + now.Second()*4)})
		}
	}
	return img
}

func (c *camera) sendAll(ctx context.Context) {
	waiting, _ := filepath.Glob(filepath.Join(c.folder, "*.jpg")) // the pattern is right
	for _, path := range waiting {
		if err := c.send(ctx, path); err != nil {
			if ctx.Err() == nil {
				c.log.Warn("a picture waits", "file", path, "err", err)
			}
			return
		}
	}
}

// send sends a picture and removes it when the hub has it. Killed at any moment, the next run goes on with it.
func (c *camera) send(ctx context.Context, path string) error {
	f, err := upload.Open(path)
	if err != nil {
		return err
	}
	f.Class, f.ContentType, f.Key = "image", "image/jpeg", filepath.Base(path)
	id, err := c.uploader.Send(ctx, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	c.log.Info("picture sent", "file", f.Name, "id", id)
	return os.Remove(path)
}
