package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/firmware/signing"
)

// passphraseVariable holds the passphrase of key files for programs.
const passphraseVariable = "HAWSER_KEY_PASSPHRASE"

// minPassphrase is what a passphrase must have at least: a key file is copied and guessed at without anybody noticing.
const minPassphrase = 8

// keyring is how commands come by private keys.
type keyring struct {
	files          []string
	passphraseFile string
}

func (k *keyring) flags(cmd *cobra.Command, use string) {
	cmd.Flags().StringArrayVar(&k.files, "key", nil, "private key file to sign with; "+use)
	k.passphraseFlag(cmd)
}

func (k *keyring) passphraseFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.passphraseFile, "passphrase-file", "", "file with the passphrase in its first line ("+passphraseVariable+"; asked for otherwise)")
}

// passphrase is the one that was given in a file or in the environment.
func (k *keyring) passphrase() (string, bool, error) {
	if k.passphraseFile == "" {
		text, ok := os.LookupEnv(passphraseVariable)
		return text, ok, nil
	}
	b, err := os.ReadFile(k.passphraseFile)
	if err != nil {
		return "", false, usageError{err}
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimRight(line, "\r"), true, nil
}

// open reads the private keys.
func (k *keyring) open(c *cli) ([]signing.PrivateKey, error) {
	in := c.asker()
	keys := make([]signing.PrivateKey, 0, len(k.files))
	for _, name := range k.files {
		b, err := c.readFile(name)
		if err != nil {
			return nil, err
		}
		passphrase, given, err := k.passphrase()
		if err != nil {
			return nil, err
		}
		if !given && signing.NeedsPassphrase(b) {
			if passphrase, err = in.secret("Passphrase of " + name + ": "); err != nil {
				return nil, err
			}
		}
		key, err := signing.ParsePrivateKey(b, passphrase)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func newFirmwareKeygen(c *cli) *cobra.Command {
	var ring keyring
	var open bool
	cmd := &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key to sign firmware or root documents with",
		Long: `Make an Ed25519 key: FILE is the private key, encrypted with a passphrase and
readable by its owner only, FILE.pub the public key. Both must be new. The files are
those of openssl pkey (PKCS #8, PBKDF2 and AES-256; SubjectPublicKeyInfo).

The passphrase is asked for, or comes from --passphrase-file or
` + passphraseVariable + `. This and all other commands for signatures work
without a hub: make keys of the roles root and release on a machine that has no
network. See docs/firmware-signing.md.`,
		Example: `  hawserctl firmware keygen release-anna.pem
  hawserctl firmware keygen release-ci.pem --passphrase-file /run/secrets/release`,
		Args: exactArgs("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			passphrase, err := ring.newPassphrase(c, open)
			if err != nil {
				return err
			}
			key, err := signing.GenerateKey(nil)
			if err != nil {
				return err
			}
			private, err := signing.MarshalPrivateKey(key, passphrase)
			if err != nil {
				return err
			}
			if err := c.writeFile(args[0], private, 0o600, true); err != nil {
				return err
			}
			if err := c.writeFile(args[0]+".pub", signing.MarshalPublicKey(key.Public()), 0o644, true); err != nil {
				return errors.Join(err, os.Remove(args[0])) // half a pair is of no use
			}
			return c.printValue(map[string]any{"keyID": key.Public().ID(), "private": args[0], "public": args[0] + ".pub", "encrypted": passphrase != ""})
		},
	}
	ring.passphraseFlag(cmd)
	cmd.Flags().BoolVar(&open, "no-passphrase", false, "do not encrypt the key, for a machine that keeps its disk safe")
	return cmd
}

// newPassphrase is one for a new key, asked for twice at a terminal.
func (k *keyring) newPassphrase(c *cli, none bool) (string, error) {
	passphrase, given, err := k.passphrase()
	if none || err != nil {
		return "", err
	}
	if !given {
		in := c.asker()
		if passphrase, err = in.secret("Passphrase: "); err != nil {
			return "", err
		}
		if _, ok := in.terminal(); ok {
			again, err := in.secret("Once more: ")
			if err != nil {
				return "", err
			}
			if again != passphrase {
				return "", usageError{errors.New("the passphrases differ")}
			}
		}
	}
	if len(passphrase) < minPassphrase {
		return "", usageError{fmt.Errorf("a passphrase must have at least %d characters; --no-passphrase leaves the key unencrypted", minPassphrase)}
	}
	return passphrase, nil
}

// printValue prints an object of the program's own.
func (c *cli) printValue(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // rules have < and >
	if err := enc.Encode(v); err != nil {
		return err
	}
	return c.printOne(b.Bytes())
}

// writeFile writes a file whole or not at all. One that has to be new is not overwritten; another is written beside its
// place first.
func (c *cli) writeFile(name string, b []byte, mode os.FileMode, fresh bool) error {
	if c.dryRun {
		fmt.Fprintf(c.errOut, "would write %s (%d bytes)\n", name, len(b))
		return nil
	}
	var f *os.File
	var err error
	if fresh {
		f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	} else {
		f, err = os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	}
	if err != nil {
		return usageError{err}
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil && !fresh {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name())) // half of it is of no use
	}
	return nil
}
