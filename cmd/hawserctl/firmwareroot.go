package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

func newFirmwareRoot(c *cli) *cobra.Command {
	return group("root", "Root documents: who may sign firmware: init, rotate", `  hawserctl firmware root init root.1 --root-key anna.pub --root-key ben.pub --release-key rel.pub --director-key hub.pub
  hawserctl firmware root rotate root.1 --out root.2 --release-key rel-2.pub`,
		newFirmwareRootInit(c), newFirmwareRootRotate(c))
}

// rootOptions are what a root document is made of.
type rootOptions struct {
	keys       map[string]*[]string
	thresholds map[string]*int
	notAfter   string
	issued     string
	ring       keyring
}

func (o *rootOptions) flags(cmd *cobra.Command) {
	o.keys, o.thresholds = map[string]*[]string{}, map[string]*int{}
	for _, role := range signing.Roles() {
		o.keys[role] = cmd.Flags().StringArray(role+"-key", nil, "public key file for the role "+role+"; may be given up to 8 times")
		if role != signing.RoleDirector {
			o.thresholds[role] = cmd.Flags().Int(role+"-threshold", 0, "how many keys of the role "+role+" must sign; default is more than half")
		}
	}
	cmd.Flags().StringVar(&o.notAfter, "not-after", "", "until when devices take the document: 2030-12-31 or a time of RFC 3339; never is without end")
	cmd.Flags().StringVar(&o.issued, "issued", "", "time of issue (RFC 3339), for a document that is to be made again byte for byte; default is now")
	o.ring.flags(cmd, "may be repeated; what is missing is added by firmware sign")
}

// apply changes a root by what was given.
func (o *rootOptions) apply(c *cli, r *signing.Root) error {
	for _, role := range signing.Roles() {
		threshold := 0
		if t := o.thresholds[role]; t != nil {
			threshold = *t
		}
		files := *o.keys[role]
		if len(files) == 0 {
			if old, ok := r.Roles[role]; ok && threshold != 0 {
				r.Roles[role] = signing.Role{Threshold: threshold, Keys: old.Keys}
			} else if !ok {
				return usageError{fmt.Errorf("--%s-key is missing", role)}
			}
			continue
		}
		keys := make([]signing.PublicKey, len(files))
		for i, name := range files {
			var err error
			if keys[i], err = c.publicKey(name); err != nil {
				return err
			}
		}
		if role == signing.RoleDirector {
			threshold = 1
		} else if threshold == 0 {
			threshold = len(keys)/2 + 1
		}
		r.SetRole(role, threshold, keys...)
	}
	return o.times(r)
}

func (o *rootOptions) times(r *signing.Root) (err error) {
	r.Issued = time.Now().UTC().Truncate(time.Second)
	if o.issued != "" {
		if r.Issued, err = day(o.issued, false); err != nil {
			return usageError{fmt.Errorf("--issued: %w", err)}
		}
	}
	switch o.notAfter {
	case "":
	case "never":
		r.NotAfter = time.Time{}
	default:
		if r.NotAfter, err = day(o.notAfter, true); err != nil {
			return usageError{fmt.Errorf("--not-after: %w", err)}
		}
	}
	return nil
}

// day reads a time, or a day: its first second or its last.
func day(text string, last bool) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		if last {
			t = t.Add(24*time.Hour - time.Second)
		}
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%q is neither a day (2030-12-31) nor a time of RFC 3339", text)
	}
	return t.UTC().Truncate(time.Second), nil
}

func (c *cli) publicKey(name string) (signing.PublicKey, error) {
	b, err := c.readFile(name)
	if err != nil {
		return signing.PublicKey{}, err
	}
	k, err := signing.ParsePublicKey(b)
	if err != nil {
		err = usageError{fmt.Errorf("%s: %w", name, err)}
	}
	return k, err
}

func newFirmwareRootInit(c *cli) *cobra.Command {
	var o rootOptions
	cmd := &cobra.Command{
		Use:   "init FILE",
		Short: "Make the first root document of a product line",
		Long: `Make the first root document: which keys have the roles root (sign root documents),
release (sign firmware) and director (the hub's, sign assignments to devices), and how
many of each must sign. A key has one role.

The document is good when enough root keys have signed it. Those that are at hand sign
at once with --key, the others later with hawserctl firmware sign. Devices are shipped
with it.`,
		Example: `  hawserctl firmware root init root.1 --not-after 2030-12-31 \
    --root-key anna.pub --root-key ben.pub --root-key safe.pub --root-threshold 2 \
    --release-key rel-a.pub --release-key rel-b.pub --release-key rel-c.pub --release-threshold 2 \
    --director-key hub.pub --key anna.pem`,
		Args: exactArgs("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			r := &signing.Root{Version: 1}
			if o.notAfter == "" {
				return usageError{errors.New("--not-after is missing: a day some years ahead, or never")}
			}
			if err := o.apply(c, r); err != nil {
				return err
			}
			return c.finishRoot(r, nil, &o.ring, args[0])
		},
	}
	o.flags(cmd)
	return cmd
}

func newFirmwareRootRotate(c *cli) *cobra.Command {
	var o rootOptions
	var out string
	var floors []string
	cmd := &cobra.Command{
		Use:   "rotate FILE",
		Short: "Make the root document that follows another: other keys, thresholds, a later end",
		Long: `Make the root document that follows FILE. A role whose keys are given has these keys
only; all else stays. It is good when the root thresholds of FILE and of the new
document have signed it: sign with --key here, or later with hawserctl firmware sign.

--floor is the way out when somebody has signed firmware with a sequence number that
nothing can follow: devices that adopt the document take the given number as the
lowest that they install, up or down. Give the highest number that you have released,
and new release keys with it, or the thief's firmware is taken again.`,
		Example: `  hawserctl firmware root rotate root.1 --out root.2 --not-after 2034-12-31 --key anna.pem --key ben.pem
  hawserctl firmware root rotate root.2 --out root.3 --release-key new-a.pub --release-key new-b.pub \
    --floor example.com/thermo-2/default=6 --key anna.pem`,
		Args: exactArgs("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return usageError{errors.New("--out is missing")}
			}
			b, err := c.readFile(args[0])
			if err != nil {
				return err
			}
			old, err := signing.TrustRoot(b)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			next := old.Successor(time.Time{})
			if err := o.apply(c, next); err != nil {
				return err
			}
			for _, text := range floors {
				f, err := parseFloor(text)
				if err != nil {
					return usageError{fmt.Errorf("--floor %q: %w", text, err)}
				}
				next.SetFloor(f)
			}
			return c.finishRoot(next, old, &o.ring, out)
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&out, "out", "", "file of the new document; must not be there")
	cmd.Flags().StringArrayVar(&floors, "floor", nil, "VENDOR/CLASS/MODULE=N: the lowest sequence number for these devices; may be repeated")
	return cmd
}

func parseFloor(text string) (signing.Floor, error) {
	var f signing.Floor
	names, number, _ := strings.Cut(text, "=")
	i := strings.LastIndexByte(names, '/')
	n, err := strconv.ParseUint(number, 10, 64)
	if i < 0 || err != nil {
		return f, errors.New("want VENDOR/CLASS/MODULE=N")
	}
	_, class, err := parseClass(names[:i])
	return signing.Floor{Class: class, Module: names[i+1:], Sequence: n}, err
}

// parseClass reads VENDOR/CLASS: a domain and a name of the vendor's, or a UUID for either.
func parseClass(text string) (vendor, class manifest.UUID, err error) {
	v, name, ok := strings.Cut(text, "/")
	if !ok || v == "" || name == "" {
		return vendor, class, fmt.Errorf("%q: want VENDOR/CLASS, like example.com/thermo-2; either may be a UUID", text)
	}
	if vendor, err = manifest.ParseUUID(v); err != nil {
		vendor = manifest.VendorID(v)
	}
	if class, err = manifest.ParseUUID(name); err != nil {
		class = manifest.ClassID(vendor, name)
	}
	return vendor, class, nil
}

// finishRoot signs a root document with the keys at hand, writes it, and says what is missing.
func (c *cli) finishRoot(r, old *signing.Root, ring *keyring, out string) error {
	d, err := r.Draft()
	if err != nil {
		return usageError{err}
	}
	keys, err := ring.open(c)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := d.Sign(k); err != nil {
			return err
		}
	}
	b, err := d.Encode()
	if err != nil {
		return err
	}
	if err := c.writeFile(out, b, 0o644, true); err != nil {
		return err
	}
	c.missing(out, d, r)
	if old != nil {
		c.missing(out, d, old)
	}
	return c.inspect(out, b)
}

// missing says whose signatures a root document still needs.
func (c *cli) missing(file string, d *signing.Document, by *signing.Root) {
	if a, _ := d.Approval(by); !a.Holds() {
		fmt.Fprintf(c.errOut, "%d of the %d root keys of version %d that must sign have; with the others': hawserctl firmware sign %s --key FILE\n",
			len(a.Signers), a.Threshold, by.Version, file)
	}
}
