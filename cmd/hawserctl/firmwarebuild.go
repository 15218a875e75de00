package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// buildOptions are what a manifest is made of, beside the image.
type buildOptions struct {
	first         imageOptions
	class, out    string
	sequence      uint64
	add, requires []string
	ring          keyring
}

// imageOptions are what is said of one image.
type imageOptions struct{ module, file, version, class, from, about string }

func newFirmwareBuild(c *cli) *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build FILE",
		Short: "Make the manifest of a firmware from its image",
		Long: `Make the manifest of a firmware from its image FILE, in an envelope for signatures: what
devices want beside the image. It has the digests of the image and of its chunk index,
by which devices fetch only what they do not have. It says whom the image is for (--class), which release
it is (--sequence, which must grow; devices install nothing with a lower one) and what
must be there before (--from, --require).

The same files and flags give the same bytes, so that all who sign can build it
themselves and compare its digest.

A release of several images is installed whole: --add takes the others, as
module=NAME,file=FILE,version=VERSION and, where they differ, class= and from=.`,
		Example: `  hawserctl firmware build thermo.bin --class example.com/thermo-2 --version 2.0 --sequence 7
  hawserctl firmware build rootfs.img --class example.com/gw-1 --version 3.1 --sequence 40 --from '>=2.0' \
    --add module=radio,file=radio.bin,version=1.4,class=example.com/radio-1 --require 'boot>=1.2' --out gw-3.1.suit
  hawserctl firmware build thermo.bin --class example.com/thermo-2 --version 2.0 --sequence 7 --key release-ci.pem`,
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.first.file, o.first.class = args[0], o.class
			m, err := o.manifest(cmd.Context())
			if err != nil {
				return err
			}
			e, err := manifest.Seal(m)
			if err != nil {
				return usageError{err}
			}
			keys, err := o.ring.open(c)
			if err != nil {
				return err
			}
			for _, k := range keys {
				if err := signing.SignEnvelope(e, k); err != nil {
					return err
				}
			}
			b, err := e.Encode()
			if err != nil {
				return err
			}
			out := cmp.Or(o.out, args[0]+".suit")
			if err := c.writeFile(out, b, 0o644, true); err != nil {
				return err
			}
			return c.inspect(out, b)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.class, "class", "", "VENDOR/CLASS that the image is for: a domain and a name, like example.com/thermo-2; either may be a UUID")
	f.StringVar(&o.first.version, "version", "", "version: 1 to 32 of A-Z a-z 0-9 . _ -")
	f.Uint64Var(&o.sequence, "sequence", 0, "sequence number of the release, higher than every one before")
	f.StringVar(&o.first.module, "module", "default", "module that the image is for")
	f.StringVar(&o.first.about, "description", "", "what people should know of the image")
	f.StringVar(&o.first.from, "from", "", "what the device must run of the module: >=1.4, <2, #7 for a sequence number of at least 7, or two with a comma between")
	f.StringArrayVar(&o.requires, "require", nil, "what must be there of another module: radio>=1.4; may be repeated")
	f.StringArrayVar(&o.add, "add", nil, "another image of the release: module=NAME,file=FILE,version=VERSION[,class=…][,from=…]; may be repeated")
	f.StringVar(&o.out, "out", "", "file of the envelope; must not be there; default is FILE.suit")
	o.ring.flags(cmd, "may be repeated; more signatures are added by firmware sign")
	return cmd
}

func (o *buildOptions) manifest(ctx context.Context) (*manifest.Manifest, error) {
	m := &manifest.Manifest{Sequence: o.sequence}
	images := []imageOptions{o.first}
	for _, text := range o.add {
		other, err := parseImage(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--add %q: %w", text, err)}
		}
		other.class = cmp.Or(other.class, o.class)
		images = append(images, other)
	}
	for _, one := range images {
		c, err := one.component(ctx)
		if err != nil {
			return nil, err
		}
		m.Components = append(m.Components, c)
	}
	for _, text := range o.requires {
		i := strings.IndexAny(text, "<>=#")
		if i < 1 {
			return nil, usageError{fmt.Errorf("--require %q: want a module and a rule, like radio>=1.4", text)}
		}
		rule, err := manifest.ParseRule(text[i:])
		if err != nil {
			return nil, usageError{fmt.Errorf("--require: %w", err)}
		}
		m.Requires = append(m.Requires, manifest.Requirement{Module: text[:i], Rule: rule})
	}
	slices.SortFunc(m.Components, func(a, b manifest.Component) int { return cmp.Compare(a.Module, b.Module) })
	slices.SortFunc(m.Requires, func(a, b manifest.Requirement) int { return cmp.Compare(a.Module, b.Module) })
	return m, nil
}

func parseImage(text string) (imageOptions, error) {
	var o imageOptions
	fields := map[string]*string{"module": &o.module, "file": &o.file, "version": &o.version, "class": &o.class, "from": &o.from, "description": &o.about}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		field := fields[name]
		if !ok || field == nil || *field != "" {
			return o, fmt.Errorf("%q: want module=, file=, version=, class=, from= or description=, each once", part)
		}
		*field = value
	}
	if o.module == "" || o.file == "" || o.version == "" {
		return o, errors.New("module=, file= and version= are needed")
	}
	return o, nil
}

// component reads the image and makes what the manifest says of it.
func (o *imageOptions) component(ctx context.Context) (manifest.Component, error) {
	c := manifest.Component{Module: o.module, Version: o.version, Description: o.about}
	var err error
	switch {
	case o.class == "":
		return c, usageError{errors.New("--class is missing")}
	case o.version == "":
		return c, usageError{errors.New("--version is missing")}
	}
	if c.Vendor, c.Class, err = parseClass(o.class); err != nil {
		return c, usageError{fmt.Errorf("--class %w", err)}
	}
	if o.from != "" {
		if c.From, err = manifest.ParseRule(o.from); err != nil {
			return c, usageError{fmt.Errorf("--from: %w", err)}
		}
	}
	return c, o.read(ctx, &c)
}

// read takes the digests of the image and of its chunk index.
func (o *imageOptions) read(ctx context.Context, c *manifest.Component) error {
	f, err := os.Open(o.file)
	if err != nil {
		return usageError{err}
	}
	defer func() { _ = f.Close() }() // it was only read
	built, err := image.Build(ctx, f, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	index, err := built.Index.Marshal()
	if err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	c.Image = manifest.Payload{Digest: manifest.Digest(built.Image), Size: uint64(built.Index.Size)}
	c.Index = &manifest.Payload{Digest: sha256.Sum256(index), Size: uint64(len(index))}
	return nil
}
