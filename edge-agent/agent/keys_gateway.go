//go:build !core

package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"sync"

	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/edge-agent/trial"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// ProductSecret is a product whose sub-devices may be listed without a secret.
type ProductSecret struct {
	Product string `yaml:"product"`
	// Secret is the ProductSecret; SecretFile names a file that holds it instead.
	Secret     Secret `yaml:"secret"`
	SecretFile string `yaml:"secret_file"`
}

func (p *ProductSecret) read() error {
	if p.SecretFile != "" {
		if p.Secret != "" {
			return errors.New("secret and secret_file: only one of them may be set")
		}
		b, err := os.ReadFile(p.SecretFile)
		if err != nil {
			return fmt.Errorf("secret_file: %w", err)
		}
		p.Secret = Secret(strings.TrimSpace(string(b)))
	}
	switch {
	case p.Product == "":
		return errors.New("product: missing")
	case p.Secret == "":
		return errors.New("secret: missing; set it, or secret_file")
	}
	return nil
}

// registers tells whether the hub may be asked for the secrets of a product's sub-devices.
func (c *Config) registers(product string) bool {
	_, ok := c.products()[product]
	return ok
}

func (c *Config) products() map[string]credential.Secret {
	m := make(map[string]credential.Secret)
	for _, p := range c.SubdeviceProducts {
		m[p.Product] = p.Secret
	}
	return m
}

// keys are secrets of sub-devices in a file of its own, {"PRODUCT.DEVICE":"SECRET",…}: the hub does not give them twice, so they must not go with the rest of
// the agent's state when that is damaged.
type keys struct {
	path string

	// mu guards the field below.
	mu sync.Mutex
	m  map[string]string
}

var _ gateway.Keys = (*keys)(nil)

// The files of keys in the data folder.
const (
	registeredFile = "subdevice.secrets" // of sub-devices of the configuration that the hub has registered
	addedFile      = "added.secrets"     // of those that it has put behind the gateway
)

// openKeys reads a file. One that can't be read is an error: it is not to be overwritten.
func openKeys(path string) (*keys, error) {
	k := &keys{path: path, m: make(map[string]string)}
	b, err := os.ReadFile(k.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return k, nil
	case err != nil:
		return nil, fmt.Errorf("secrets of sub-devices: %w", err)
	}
	if err := json.Unmarshal(b, &k.m); err != nil {
		return nil, fmt.Errorf("secrets of sub-devices: %s is damaged; move it away, and have the sub-devices reset at the hub", k.path)
	}
	return k, nil
}

// Secret implements gateway.Keys.
func (k *keys) Secret(d ident.Device) credential.Secret {
	k.mu.Lock()
	defer k.mu.Unlock()
	return credential.Secret(k.m[d.ClientID()])
}

// Keep implements gateway.Keys.
func (k *keys) Keep(secrets map[ident.Device]credential.Secret) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := maps.Clone(k.m)
	for d, secret := range secrets {
		if m[d.ClientID()] = secret.Reveal(); secret == "" {
			delete(m, d.ClientID())
		}
	}
	if maps.Equal(m, k.m) {
		return nil
	}
	b, err := json.Marshal(m)
	if err == nil {
		err = trial.Replace(k.path, b)
	}
	if err == nil {
		k.m = m
	}
	return err
}

// Devices implements gateway.Keys.
func (k *keys) Devices() (list []ident.Device) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.m {
		if d, err := ident.ParseClientID(id); err == nil {
			list = append(list, d)
		}
	}
	return list
}
