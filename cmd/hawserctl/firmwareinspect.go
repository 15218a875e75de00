package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/firmware/delta"
	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

func newFirmwareInspect(c *cli) *cobra.Command {
	var index string
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what is in signed firmware, a root document, an assignment, a public key, a chunk index or a pack",
		Long: `Show what is in a file: signed firmware, a root document, an assignment, a public key,
a chunk index or a pack of an image. With the index of its image (--index) the content
of a pack is shown too, chunk for chunk checked where the pack has them.
Nothing is verified; see hawserctl firmware verify.`,
		Example: "  hawserctl firmware inspect thermo-2.0.suit\n  hawserctl firmware inspect root.1 -o json\n  hawserctl firmware inspect anna.pub\n  hawserctl firmware inspect new.delta --index new.index",
		Args:    exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.readFile(args[0])
			if err != nil {
				return err
			}
			if index == "" {
				return c.inspect(args[0], b)
			}
			v, err := viewPack(cmd.Context(), b, index)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return c.showView(v)
		},
	}
	cmd.Flags().StringVar(&index, "index", "", "chunk index of the image that FILE is a pack of")
	return cmd
}

// inspect prints what is in a file.
func (c *cli) inspect(name string, b []byte) error {
	v, err := viewOf(b)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return c.showView(v)
}

// view is what a file says, for JSON and as lines.
type view interface{ rows() [][]string }

func viewOf(b []byte) (view, error) {
	switch {
	case manifest.IsEnvelope(b):
		return viewEnvelope(b)
	case signing.IsRoot(b):
		return viewRoot(b)
	case signing.IsAssignment(b):
		a, by, err := signing.UnverifiedAssignment(b)
		return &assignmentView{Kind: "assignment", Assignment: a, SignedBy: by, Bytes: len(b)}, err
	case image.IsIndex(b):
		return viewIndex(b)
	case bytes.HasPrefix(b, []byte(image.PackMagic[:7])):
		return &packView{Kind: "full pack", Bytes: int64(len(b))}, nil
	case bytes.HasPrefix(b, []byte(delta.Magic[:7])):
		return viewDelta(b)
	case bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN PUBLIC")):
		k, err := signing.ParsePublicKey(b)
		return &keyView{"public key", k.ID()}, err
	case bytes.Contains(b, []byte("PRIVATE KEY-----")):
		return nil, usageError{errors.New("it is a private key; its public key has its key id")}
	}
	return nil, usageError{errors.New("it is neither signed firmware nor a root document, an assignment, a public key, a chunk index or a pack")}
}

type keyView struct {
	Kind  string        `json:"kind"`
	KeyID signing.KeyID `json:"keyID"`
}

func (v *keyView) rows() [][]string { return [][]string{{"public key", v.KeyID.String()}} }

type payloadView struct {
	Digest manifest.Digest `json:"sha256"`
	Size   uint64          `json:"size"`
}

func (p payloadView) String() string { return fmt.Sprintf("%v (%d bytes)", p.Digest, p.Size) }

type componentView struct {
	Module      string        `json:"module"`
	Version     string        `json:"version"`
	Description string        `json:"description,omitempty"`
	Vendor      manifest.UUID `json:"vendorID"`
	Class       manifest.UUID `json:"classID"`
	Image       payloadView   `json:"image"`
	Index       *payloadView  `json:"index,omitempty"`
	From        string        `json:"from,omitempty"`
}

type requirementView struct {
	Module string `json:"module"`
	Rule   string `json:"rule"`
}

type manifestView struct {
	Kind       string            `json:"kind"`
	Digest     manifest.Digest   `json:"digest"`
	Sequence   uint64            `json:"sequence"`
	Components []componentView   `json:"components"`
	Requires   []requirementView `json:"requires,omitempty"`
	SignedBy   []signing.KeyID   `json:"signedBy"`
	Bytes      int               `json:"bytes"`
}

func viewEnvelope(b []byte) (*manifestView, error) {
	e, err := manifest.ParseEnvelope(b)
	if err != nil {
		return nil, err
	}
	m, err := e.Unverified()
	if err != nil {
		return nil, err
	}
	v := &manifestView{Kind: "firmware", Digest: e.Digest(), Sequence: m.Sequence, Bytes: len(b)}
	if v.SignedBy, err = signersOf(e.Signatures); err != nil {
		return nil, err
	}
	for _, c := range m.Components {
		cv := componentView{c.Module, c.Version, c.Description, c.Vendor, c.Class, payloadView(c.Image), nil, c.From.String()}
		if c.Index != nil {
			index := payloadView(*c.Index)
			cv.Index = &index
		}
		v.Components = append(v.Components, cv)
	}
	for _, r := range m.Requires {
		v.Requires = append(v.Requires, requirementView{r.Module, r.Rule.String()})
	}
	return v, nil
}

func signersOf(signatures [][]byte) ([]signing.KeyID, error) {
	ids := []signing.KeyID{}
	for _, s := range signatures {
		id, err := signing.SignerOf(s)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (v *manifestView) rows() [][]string {
	rows := [][]string{{"firmware", v.Digest.String()}, {"sequence", fmt.Sprint(v.Sequence)}, {"bytes", fmt.Sprint(v.Bytes)}}
	for _, c := range v.Components {
		rows = append(rows, []string{"module", c.Module + " " + c.Version}, []string{"  image", c.Image.String()})
		if c.Index != nil {
			rows = append(rows, []string{"  index", c.Index.String()})
		}
		rows = append(rows, []string{"  vendor", c.Vendor.String()}, []string{"  class", c.Class.String()})
		rows = appendText(rows, "  from", c.From)
		rows = appendText(rows, "  about", c.Description)
	}
	for _, r := range v.Requires {
		rows = append(rows, []string{"needs", r.Module + " " + r.Rule})
	}
	return appendKeys(rows, "signed by", v.SignedBy)
}

func appendText(rows [][]string, name, text string) [][]string {
	if text == "" {
		return rows
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }) {
		text = fmt.Sprintf("%q", text) // a file says what it likes, and not to the terminal
	}
	return append(rows, []string{name, text})
}

func appendKeys(rows [][]string, name string, ids []signing.KeyID) [][]string {
	if len(ids) == 0 {
		return append(rows, []string{name, "nobody"})
	}
	for _, id := range ids {
		rows = append(rows, []string{name, id.String()})
	}
	return rows
}

type roleView struct {
	Threshold int             `json:"threshold"`
	Keys      []signing.KeyID `json:"keys"`
}

type floorView struct {
	Class    manifest.UUID `json:"classID"`
	Module   string        `json:"module"`
	Sequence uint64        `json:"sequence"`
}

type rootView struct {
	Kind     string              `json:"kind"`
	Version  uint64              `json:"version"`
	Issued   time.Time           `json:"issued"`
	NotAfter *time.Time          `json:"notAfter"`
	Roles    map[string]roleView `json:"roles"`
	Floors   []floorView         `json:"floors,omitempty"`
	SignedBy []signing.KeyID     `json:"signedBy"`
	Bytes    int                 `json:"bytes"`
}

func viewRoot(b []byte) (*rootView, error) {
	d, err := signing.ParseDocument(b)
	if err != nil {
		return nil, err
	}
	r, err := d.Unverified()
	if err != nil {
		return nil, err
	}
	v := &rootView{Kind: "root", Version: r.Version, Issued: r.Issued, Roles: map[string]roleView{}, Bytes: len(b)}
	if !r.NotAfter.IsZero() {
		v.NotAfter = &r.NotAfter
	}
	for name, role := range r.Roles {
		v.Roles[name] = roleView{role.Threshold, role.Keys}
	}
	for _, f := range r.Floors {
		v.Floors = append(v.Floors, floorView{f.Class, f.Module, f.Sequence})
	}
	v.SignedBy, err = signersOf(d.Signatures)
	return v, err
}

func (v *rootView) rows() [][]string {
	end := "never"
	if v.NotAfter != nil {
		end = v.NotAfter.Format(time.RFC3339)
	}
	rows := [][]string{{"root", fmt.Sprintf("version %d", v.Version)}, {"issued", v.Issued.Format(time.RFC3339)}, {"not after", end}, {"bytes", fmt.Sprint(v.Bytes)}}
	for _, name := range signing.Roles() {
		role := v.Roles[name]
		rows = append(rows, []string{name, fmt.Sprintf("%d of %d", role.Threshold, len(role.Keys))})
		rows = appendKeys(rows, "  key", role.Keys)
	}
	for _, f := range v.Floors {
		rows = append(rows, []string{"floor", fmt.Sprintf("%d for module %s of class %v", f.Sequence, f.Module, f.Class)})
	}
	return appendKeys(rows, "signed by", v.SignedBy)
}

type assignmentView struct {
	Kind string `json:"kind"`
	*signing.Assignment
	SignedBy signing.KeyID `json:"signedBy"`
	Bytes    int           `json:"bytes"`
}

func (v *assignmentView) rows() [][]string {
	rows := [][]string{{"assignment", v.Device}, {"firmware", v.Manifest.String()}, {"rollout", v.Rollout}, {"execution", v.Execution}, {"counter", fmt.Sprint(v.Counter)},
		{"nonce", fmt.Sprintf("%x", v.Nonce)}, {"issued", v.Issued.Format(time.RFC3339)}, {"not after", v.NotAfter.Format(time.RFC3339)}}
	if w := v.Window; w != nil {
		rows = append(rows, []string{"window", fmt.Sprintf("%s for %d minutes, in %s", w.Cron, w.Minutes, w.Zone)})
	}
	for _, s := range v.Sources {
		rows = append(rows, []string{"source", s})
	}
	if v.Budget != 0 {
		rows = append(rows, []string{"budget", fmt.Sprintf("%d bytes", v.Budget)})
	}
	return appendKeys(rows, "signed by", []signing.KeyID{v.SignedBy})
}
