package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cmd/hawserctl/bundle"
)

// bundled is what provision bundle prints.
type bundled struct {
	ProductSN string    `json:"productSN"`
	DeviceSN  string    `json:"deviceSN,omitempty"`
	Made      bool      `json:"made"` // the device was created
	Hub       string    `json:"hub"`
	Target    string    `json:"target"`
	Variant   string    `json:"variant"`
	Init      string    `json:"init"`
	File      string    `json:"file,omitempty"`
	Bytes     int       `json:"bytes,omitempty"`
	SHA256    string    `json:"sha256,omitempty"`
	Files     []planned `json:"files"`
}

func newProvisionBundle(c *cli) *cobra.Command {
	p := &provision{cli: c}
	var out string
	cmd := &cobra.Command{
		Use:   "bundle P [D]",
		Short: "Make a tar.gz with agent, configuration, credentials and service for a device",
		Long: `Make a tar.gz with all that a device needs to come online: the agent's program, its
configuration, what it trusts and logs in with (mode 0600), and what starts it. It is
unpacked in the device's root folder: tar -xzpf gw-1.tar.gz -C /

A device that does not exist is created; without D the hub makes a serial number. With
--factory the bundle has the product's secret instead of the device's, and is the same
for all devices that have a --device-file: each registers itself at its first start.
The same device and the same program give the same bytes.

--dry-run shows what would be in it.`,
		Example: `  hawserctl provision bundle 70ly1tvowt696r15 gw-1 --target linux-arm-7 --out gw-1.tar.gz
  hawserctl provision bundle 70ly1tvowt696r15 --target linux-mipsle-softfloat --init procd --variant core --out router.tar.gz
  hawserctl provision bundle 70ly1tvowt696r15 --factory --device-file /sys/class/net/eth0/address --target linux-arm64 --out image.tar.gz`,
		Args: rangeArgs(1, 2, "P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.product = args[0]
			sn := ""
			if len(args) > 1 {
				sn = args[1]
			}
			switch err := p.known(); {
			case err != nil:
				return err
			case out == "" && !c.dryRun:
				return usageError{errors.New("--out is missing")}
			case p.target == "" && p.agent == "":
				return usageError{errors.New("--target is missing: linux-amd64, linux-arm-7, linux-mipsle-softfloat …; see the names in --agents")}
			}
			if p.config.Init == "" {
				p.config.Init = bundle.Systemd
				if p.config.Prefix != "" {
					p.config.Init = bundle.SysV
				}
			}
			return p.bundle(cmd.Context(), sn, out)
		},
	}
	p.flags(cmd.Flags())
	cmd.Flags().StringVar(&p.target, "target", "", "the device's processor, such as linux-arm-7")
	cmd.Flags().StringVar(&p.config.Init, "init", "", "what starts the agent: systemd (default), procd (OpenWrt) or sysv")
	cmd.Flags().StringVar(&p.name, "name", "", "name of a device that is created")
	cmd.Flags().StringVar(&out, "out", "", "the file to write (0600)")
	return cmd
}

func (p *provision) bundle(ctx context.Context, sn, out string) (err error) {
	if err := p.prepare(ctx); err != nil {
		return err
	}
	cfg := p.config
	if cfg.Agent, err = p.program(p.target); err != nil {
		return err
	}
	made, err := p.credentials(ctx, &cfg, sn, p.name)
	if err != nil {
		return err
	}
	files, err := cfg.Files()
	if err != nil {
		return usageError{err}
	}
	result := bundled{ProductSN: p.product, DeviceSN: cfg.Device, Made: made, Hub: cfg.Hub, Target: p.target, Variant: cfg.Variant, Init: cfg.Init, Files: plan(files)}
	if p.dryRun {
		return p.printValue(result)
	}
	var b bytes.Buffer
	if err := bundle.Write(&b, files); err != nil {
		return err
	}
	if err := writeSecretFile(out, b.Bytes()); err != nil {
		return err
	}
	result.File, result.Bytes, result.SHA256 = out, b.Len(), fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
	return p.printValue(result)
}

// writeSecretFile writes a file that only its owner may read, also where one was that others could.
func writeSecretFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return usageError{err}
	}
	err = f.Chmod(0o600)
	if err == nil {
		_, err = f.Write(b)
	}
	return errors.Join(err, f.Close())
}
