package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

func newFirmwareVerify(c *cli) *cobra.Command {
	var roots, images []string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify who has signed firmware, a root document or an assignment",
		Long: `Verify that enough keys of the right role have signed FILE: firmware by release keys, a
root document by root keys (its own, and those of the version before when --root gives
that), an assignment by a director key. With several --root, in order, each is walked
to from the one before, as devices do.

--image holds image files against the manifest too. The exit code is 1 when something
does not hold, and the message begins with the failure class that devices report.`,
		Example: `  hawserctl firmware verify thermo-2.0.suit --root root.1
  hawserctl firmware verify thermo-2.0.suit --root root.1 --root root.2 --image default=thermo.bin
  hawserctl firmware verify root.2 --root root.1`,
		Args: exactArgs("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := c.readFile(args[0])
			if err != nil {
				return err
			}
			root, err := c.walkRoots(roots)
			if err != nil {
				return classed(err)
			}
			v, err := c.verify(b, root, images)
			if err != nil {
				return classed(fmt.Errorf("%s: %w", args[0], err))
			}
			if c.output != asTable && c.output != asWide || len(c.columns) > 0 {
				return c.printValue(v)
			}
			return writeTable(c.out, v.rows(), 0)
		},
	}
	cmd.Flags().StringArrayVar(&roots, "root", nil, "root document that is trusted; further ones must follow it; may be repeated")
	cmd.Flags().StringArrayVar(&images, "image", nil, "MODULE=FILE: an image to hold against the manifest; a release is complete only with all of its images")
	return cmd
}

// classed puts an error's failure class before it.
func classed(err error) error {
	if class := failure.Of(err); class != failure.Unclassified {
		return fmt.Errorf("%s: %w", class, err)
	}
	return err
}

// walkRoots trusts the first document and walks to the last; nil without any.
func (c *cli) walkRoots(files []string) (*signing.Root, error) {
	var root *signing.Root
	for i, name := range files {
		b, err := c.readFile(name)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			root, err = signing.TrustRoot(b)
		} else {
			root, err = root.Next(b)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return root, nil
}

// verdictView is what verify has found. It is only made of what holds.
type verdictView struct {
	Kind      string             `json:"kind"`
	Digest    *manifest.Digest   `json:"digest,omitempty"`
	Root      uint64             `json:"rootVersion"`
	Approvals []signing.Approval `json:"approvals"`
	Images    []string           `json:"images,omitempty"`
}

func (v *verdictView) rows() [][]string {
	rows := [][]string{{v.Kind, "verified by root version " + fmt.Sprint(v.Root)}}
	if v.Digest != nil {
		rows = append(rows, []string{"digest", v.Digest.String()})
	}
	for _, a := range v.Approvals {
		rows = append(rows, []string{a.Role, fmt.Sprintf("%d signed, %d must", len(a.Signers), a.Threshold)})
		for _, id := range a.Signers {
			rows = append(rows, []string{"  signed by", id.String()})
		}
		for _, id := range a.Unknown {
			rows = append(rows, []string{"  no such key", id.String()})
		}
	}
	for _, name := range v.Images {
		rows = append(rows, []string{"image", name + " is as signed"})
	}
	return rows
}

func (c *cli) verify(b []byte, root *signing.Root, images []string) (*verdictView, error) {
	if signing.IsRoot(b) {
		return verifyRoot(b, root)
	}
	if root == nil {
		return nil, usageError{errors.New("--root is missing: the root document to verify by")}
	}
	if signing.IsAssignment(b) {
		a, err := root.VerifyAssignment(b)
		if err != nil {
			return nil, err
		}
		_, by, err := signing.UnverifiedAssignment(b)
		return &verdictView{Kind: "assignment", Digest: &a.Manifest, Root: root.Version,
			Approvals: []signing.Approval{{Role: signing.RoleDirector, Threshold: 1, Signers: []signing.KeyID{by}}}}, err
	}
	r, err := root.VerifyEnvelope(b)
	if err != nil {
		return nil, err
	}
	v := &verdictView{Kind: "firmware", Digest: &r.Digest, Root: root.Version, Approvals: []signing.Approval{r.Approval}}
	if len(images) == 0 {
		return v, nil
	}
	have := map[string]manifest.Payload{}
	for _, text := range images {
		module, name, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--image %q: want MODULE=FILE", text)}
		}
		if have[module], err = hashFile(name); err != nil {
			return nil, err
		}
		v.Images = append(v.Images, name)
	}
	return v, r.Complete(have)
}

// verifyRoot verifies a root document by its own keys, and by those of the root before when there is one.
func verifyRoot(b []byte, before *signing.Root) (*verdictView, error) {
	r, err := signing.TrustRoot(b)
	if err != nil {
		return nil, err
	}
	d, err := signing.ParseDocument(b)
	if err != nil {
		return nil, err
	}
	own, err := d.Approval(r)
	if err != nil {
		return nil, err
	}
	v := &verdictView{Kind: "root", Root: r.Version, Approvals: []signing.Approval{own}}
	if before == nil {
		return v, nil
	}
	if _, err := before.Next(b); err != nil {
		return nil, err
	}
	theirs, err := d.Approval(before)
	v.Root, v.Approvals = before.Version, append([]signing.Approval{theirs}, v.Approvals...)
	return v, err
}

// hashFile is what a manifest says of a file.
func hashFile(name string) (manifest.Payload, error) {
	f, err := os.Open(name)
	if err != nil {
		return manifest.Payload{}, usageError{err}
	}
	defer func() { _ = f.Close() }() // it was only read
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return manifest.Payload{}, fmt.Errorf("read %s: %w", name, err)
	}
	return manifest.Payload{Digest: manifest.Digest(h.Sum(nil)), Size: uint64(n)}, nil
}
