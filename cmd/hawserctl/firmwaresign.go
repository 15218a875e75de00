package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

func newFirmwareSign(c *cli) *cobra.Command {
	var ring keyring
	var signature string
	var attach []string
	cmd := &cobra.Command{
		Use:   "sign FILE",
		Short: "Sign firmware or a root document",
		Long: `Sign firmware (the envelope that firmware build has made) with release keys, or a root
document with root keys. The signatures go into FILE.

When those who sign are in different places, each writes a signature of a few bytes
with --signature, and one of them puts all into FILE with --attach. Look at what you
sign first: hawserctl firmware inspect FILE.`,
		Example: `  hawserctl firmware sign thermo-2.0.suit --key release-anna.pem
  hawserctl firmware sign thermo-2.0.suit --key release-ben.pem --signature ben.sig
  hawserctl firmware sign thermo-2.0.suit --attach ben.sig --attach carla.sig`,
		Args: exactArgs("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(ring.files)+len(attach) == 0 || signature != "" && (len(ring.files) != 1 || len(attach) > 0) {
				return usageError{errors.New("want --key or --attach, or --signature with one --key")}
			}
			b, err := c.readFile(args[0])
			if err != nil {
				return err
			}
			s, err := signableOf(b)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			keys, err := ring.open(c)
			if err != nil {
				return err
			}
			if signature != "" {
				return c.signApart(s, keys[0], signature)
			}
			return c.signInto(s, keys, attach, args[0])
		},
	}
	ring.flags(cmd, "may be repeated")
	cmd.Flags().StringVar(&signature, "signature", "", "write the signature to this file, and leave FILE as it is")
	cmd.Flags().StringArrayVar(&attach, "attach", nil, "put a signature that was written with --signature into FILE; may be repeated")
	return cmd
}

// signable is a file that signatures go into: an envelope or a root document.
type signable interface {
	sign(k signing.PrivateKey) ([]byte, error)
	attach(signature []byte) error
	Encode() ([]byte, error)
}

type signableEnvelope struct{ *manifest.Envelope }

func (e signableEnvelope) sign(k signing.PrivateKey) ([]byte, error) {
	return signing.SignManifest(e.Envelope, k)
}
func (e signableEnvelope) attach(s []byte) error { return signing.AttachSignature(e.Envelope, s) }

type signableRoot struct{ *signing.Document }

func (d signableRoot) sign(k signing.PrivateKey) ([]byte, error) { return d.SignatureBy(k) }
func (d signableRoot) attach(s []byte) error                     { return d.Attach(s) }

func signableOf(b []byte) (signable, error) {
	if signing.IsRoot(b) {
		d, err := signing.ParseDocument(b)
		return signableRoot{d}, err
	}
	e, err := manifest.ParseEnvelope(b)
	return signableEnvelope{e}, err
}

func (c *cli) signApart(s signable, k signing.PrivateKey, file string) error {
	b, err := s.sign(k)
	if err != nil {
		return err
	}
	if err := c.writeFile(file, b, 0o644, true); err != nil {
		return err
	}
	return c.printValue(map[string]any{"keyID": k.Public().ID(), "signature": file})
}

func (c *cli) signInto(s signable, keys []signing.PrivateKey, attach []string, file string) error {
	for _, k := range keys {
		b, err := s.sign(k)
		if err != nil {
			return err
		}
		if err := s.attach(b); err != nil {
			return err
		}
	}
	for _, name := range attach {
		b, err := c.readFile(name)
		if err != nil {
			return err
		}
		if err := s.attach(b); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	b, err := s.Encode()
	if err != nil {
		return err
	}
	if err := c.writeFile(file, b, 0o644, false); err != nil {
		return err
	}
	return c.inspect(file, b)
}
