package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/edge-agent/trial"
)

// Registration is dynamic registration: every device of the product carries the product's secret and asks once for its own.
type Registration struct {
	ProductSecret Secret `yaml:"product_secret"`
	// ProductSecretFile names a file that holds it instead.
	ProductSecretFile string `yaml:"product_secret_file"`
}

func (r *Registration) read() error {
	if r.ProductSecretFile != "" {
		if r.ProductSecret != "" {
			return errors.New("register: product_secret and product_secret_file: only one of them may be set")
		}
		b, err := os.ReadFile(r.ProductSecretFile)
		if err != nil {
			return fmt.Errorf("register.product_secret_file: %w", err)
		}
		r.ProductSecret = Secret(strings.TrimSpace(string(b)))
	}
	if r.ProductSecret == "" {
		return errors.New("register: the product's secret is missing; set product_secret, or product_secret_file")
	}
	return nil
}

// errUnregistered is returned by New before Obtain has succeeded.
var errUnregistered = errors.New("agent: the gateway has no secret yet")

// How long one registration may take, and how long to wait before the next: the first pause, and the longest.
const (
	registerTimeout  = time.Minute
	registerPause    = 2 * time.Second
	registerMaxPause = 10 * time.Minute
)

// Obtain gets the gateway's secret from the hub when it has none, and keeps it in SecretFile before it is used for the first time: until then the hub gives it
// again, afterwards no more. It tries until it succeeds or ctx ends. With a secret it does nothing.
func (c *Config) Obtain(ctx context.Context, log *slog.Logger) error {
	if c.Secret != "" || c.Register == nil {
		return nil
	}
	for pause := registerPause; ; pause = min(2*pause, registerMaxPause) {
		secret, err := c.register(ctx, log)
		if err == nil {
			err = keepSecret(c.SecretFile, secret)
		}
		if err == nil {
			c.Secret = secret
			log.Info("registered", "product", c.Product, "device", c.Device, "secret_file", c.SecretFile)
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		log.Error("the gateway is not registered yet", "product", c.Product, "device", c.Device, "err", err, "retry_in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Config) register(ctx context.Context, log *slog.Logger) (Secret, error) {
	lc, err := c.link()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	return device.Register(ctx, device.Config{Server: c.Hub, Product: c.Product, SN: c.Device, Secret: c.Register.ProductSecret, TLS: lc.TLS}, log)
}

// keepSecret writes a secret so that it is there, and whole, after a power cut.
func keepSecret(path string, secret Secret) error {
	if err := trial.Replace(path, []byte(secret.Reveal()+"\n")); err != nil {
		return fmt.Errorf("keep the secret: %w", err)
	}
	return nil
}
