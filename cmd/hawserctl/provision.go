package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cmd/hawserctl/bundle"
	"github.com/hawser-iot/hawser/protocol/credential"
)

func newProvision(c *cli) *cobra.Command {
	return group("provision", "Put the agent onto devices: as a bundle, over SSH, one or a fleet; and their labels", `  hawserctl provision bundle 70ly1tvowt696r15 gw-1 --target linux-arm-7 --out gw-1.tar.gz
  hawserctl provision install 70ly1tvowt696r15 gw-1 --ssh root@192.168.1.1
  hawserctl provision batch 70ly1tvowt696r15 fleet.csv --report report.csv
  hawserctl provision label 70ly1tvowt696r15 gw-1 gw-2 --out labels.svg`,
		newProvisionBundle(c), newProvisionInstall(c), newProvisionBatch(c), newProvisionLabel(c))
}

// provision is a run of one of the commands.
type provision struct {
	*cli
	product              string
	agent, agents        string // a file; or the folder of make agents
	target               string
	mqtt, listen         string
	deviceFile, extra    string
	trust                string // PEM file
	factory, systemTrust bool
	managed              bool
	pins                 []string
	name                 string
	config               bundle.Config
}

// flags are those that all have that make a bundle.
func (p *provision) flags(f *pflag.FlagSet) {
	f.StringVar(&p.agents, "agents", "bin/agents", "folder with the agents of make agents, and their SHA256SUMS")
	f.StringVar(&p.agent, "agent", "", "the agent's program, instead of one of --agents")
	f.StringVar(&p.config.Variant, "variant", "gateway", "core or gateway")
	f.StringVar(&p.mqtt, "mqtt", "", "the hub's address for devices, such as tls://hub.example:8883; absent: --hub's host, and the port that the hub says")
	f.StringVar(&p.trust, "device-ca", "", "PEM file of the CA that the device is to trust; absent: that of --ca")
	f.BoolVar(&p.systemTrust, "system-ca", false, "the device trusts the authorities of its system")
	f.StringSliceVar(&p.pins, "pin", nil, "SHA-256 of a key that the hub may have, in hex")
	f.StringVar(&p.listen, "listen", "", "where a gateway's sub-devices log in; absent: 127.0.0.1:1884")
	f.BoolVar(&p.managed, "managed", false, "the agent takes its configuration from the hub, as hawserctl agent config sets it")
	f.StringVar(&p.extra, "extra", "", "file with further lines for the agent's configuration")
	f.StringVar(&p.config.Prefix, "prefix", "", "folder on the device for all of it, instead of the root folder")
	f.BoolVar(&p.factory, "factory", false, "no secret of the device's own: it registers itself at its first start, with the product's secret")
	f.StringVar(&p.deviceFile, "device-file", "", "with --factory: a file on the device with its serial number, such as /sys/class/net/eth0/address")
}

// prepare sets what is the same for all devices.
func (p *provision) prepare(ctx context.Context) (err error) {
	p.config.Product, p.config.Pins, p.config.Listen = p.product, p.pins, p.listen
	switch {
	case p.deviceFile != "" && !p.factory:
		return usageError{errors.New("--device-file is for --factory: a device that has a serial number of its own can register itself only")}
	case p.systemTrust && p.trust != "":
		return usageError{errors.New("--system-ca and --device-ca exclude each other")}
	case p.trust == "" && !p.systemTrust:
		p.trust = p.ca
	}
	if p.trust != "" {
		if p.config.CA, err = os.ReadFile(p.trust); err != nil {
			return usageError{err}
		}
	}
	if p.extra != "" {
		b, err := os.ReadFile(p.extra)
		if err != nil {
			return usageError{err}
		}
		p.config.Extra = string(b)
	}
	if p.managed {
		if p.config.ConfigKeys, err = p.configKeys(ctx); err != nil {
			return err
		}
	}
	if p.config.Hub = p.mqtt; p.config.Hub == "" {
		p.config.Hub, err = p.address(ctx)
	}
	if err == nil && p.factory {
		p.config.ProductSecret, err = p.productSecret(ctx)
	}
	return err
}

// address is where devices find the hub: the host that we use, and the port that it says.
func (p *provision) address(ctx context.Context) (string, error) {
	b, err := p.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.GetInfo(ctx)
	})
	if err != nil {
		return "", err
	}
	var info apitype.Info
	if err := json.Unmarshal(b, &info); err != nil {
		return "", fmt.Errorf("read the hub's answer: %w", err)
	}
	u, err := url.Parse(p.hub)
	if err != nil {
		return "", err
	}
	for _, door := range []struct{ scheme, addr string }{{"tls", info.Addresses.Mqtts}, {"tcp", info.Addresses.Mqtt}} {
		if _, port, err := net.SplitHostPort(door.addr); err == nil {
			return door.scheme + "://" + net.JoinHostPort(u.Hostname(), port), nil
		}
	}
	return "", usageError{errors.New("the hub does not say where devices find it: --mqtt tls://HOST:8883")}
}

func (p *provision) productSecret(ctx context.Context) (credential.Secret, error) {
	b, err := p.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.GetProduct(ctx, p.product)
	})
	if err != nil {
		return "", err
	}
	var product apitype.Product
	if err := json.Unmarshal(b, &product); err != nil {
		return "", fmt.Errorf("read the hub's answer: %w", err)
	}
	switch {
	case !product.DynamicRegister:
		return "", fmt.Errorf("%s does not let devices register themselves: hawserctl product update %s --dynamic-register", p.product, p.product)
	case product.ProductSecret == "":
		return "", errors.New("this key does not see the product's secret")
	}
	return credential.Secret(product.ProductSecret), nil
}

// device gets a device with its secret, and makes it when there is none. An empty serial number has the hub make one.
func (p *provision) device(ctx context.Context, sn, name string) (d apitype.Device, made bool, err error) {
	get := func(call request) error {
		b, err := p.do(ctx, call)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &d)
	}
	if sn != "" {
		err = get(func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return client.GetDevice(ctx, p.product, sn)
		})
		var refused *apiError
		if err == nil || !errors.As(err, &refused) || refused.problem.Code != "device_not_found" {
			return d, false, err
		}
	}
	if p.dryRun {
		return apitype.Device{ProductSN: p.product, DeviceSN: sn, DeviceSecret: "not-made-yet"}, true, nil
	}
	err = get(func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.CreateDevice(ctx, p.product, apitype.NewDevice{DeviceSN: sn, Name: name})
	})
	return d, true, err
}

// credentials puts what a device logs in with into its configuration.
func (p *provision) credentials(ctx context.Context, cfg *bundle.Config, sn, name string) (made bool, err error) {
	if p.factory {
		cfg.Device, cfg.DeviceFile = sn, p.deviceFile
		return false, nil
	}
	d, made, err := p.device(ctx, sn, name)
	if err != nil {
		return false, err
	}
	if d.DeviceSecret == "" {
		return made, errors.New("this key does not see the device's secret")
	}
	cfg.Device, cfg.Secret = d.DeviceSN, credential.Secret(d.DeviceSecret)
	if cfg.Device == "" {
		cfg.Device = "not-made-yet" // a dry run
	}
	return made, nil
}

// program reads the agent for a target.
func (p *provision) program(target string) ([]byte, error) {
	if p.agent != "" {
		b, err := os.ReadFile(p.agent)
		if err != nil {
			return nil, usageError{err}
		}
		return b, nil
	}
	return bundle.Load(p.agents, target, p.config.Variant)
}

// planned is a file of a bundle as -o json shows it.
type planned struct {
	Name  string `json:"name"`
	Mode  string `json:"mode"`
	Bytes int    `json:"bytes"`
}

func plan(files []bundle.File) (list []planned) {
	for _, f := range files {
		list = append(list, planned{f.Name, fmt.Sprintf("%04o", f.Mode.Perm()), len(f.Bytes)})
	}
	return list
}

// known are the flags' values that are checked before anything is done.
func (p *provision) known() error {
	switch {
	case p.config.Init != "" && !slices.Contains(bundle.Inits, p.config.Init):
		return usageError{fmt.Errorf("--init %s: must be %s", p.config.Init, strings.Join(bundle.Inits, ", "))}
	case p.config.Variant != "core" && p.config.Variant != "gateway":
		return usageError{fmt.Errorf("--variant %s: must be core or gateway", p.config.Variant)}
	}
	return nil
}
