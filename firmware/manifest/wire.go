package manifest

import (
	"github.com/hawser-iot/hawser/firmware/canon"
)

// The numbers of draft-ietf-suit-manifest and draft-ietf-suit-update-management, and of those that are free for private
// use the profile's own.
const (
	suitVersion    = 1
	profileVersion = 1 // of docs/formats/manifest.md
	sha256Alg      = -16

	vendorCondition   = 1
	classCondition    = 2
	imageMatch        = 3
	setComponentIndex = 12
	overrideParams    = 20
	versionCondition  = 28
	sequenceCondition = -256 // ours: the installed manifest's sequence number is at least the parameter's

	// policy is what a condition reports: success and failure, records and system information.
	policy = 15

	// language of the texts; a version has none, but the texts are by language.
	language = "en"
)

// indexSuffix is the second part of the identifier of a chunk index, behind its image's module.
const indexSuffix canon.Bytes = "index"

type wireEnvelope struct {
	Authentication []byte `cbor:"2,keyasint"` // of [digest, signature …], each a byte string
	Manifest       []byte `cbor:"3,keyasint"`
}

type wireDigest struct {
	_         struct{} `cbor:",toarray"`
	Algorithm int
	Bytes     []byte
}

type wireManifest struct {
	Version  int    `cbor:"1,keyasint"`
	Sequence uint64 `cbor:"2,keyasint"`
	Common   []byte `cbor:"3,keyasint"`
	Validate []byte `cbor:"7,keyasint"`
	Text     []byte `cbor:"23,keyasint"`
	Profile  int    `cbor:"-256,keyasint"`
}

type wireCommon struct {
	Components [][]canon.Bytes `cbor:"2,keyasint"`
	Shared     []byte          `cbor:"4,keyasint"`
}

type wireParameters struct {
	Vendor   []byte `cbor:"1,keyasint,omitempty"`
	Class    []byte `cbor:"2,keyasint,omitempty"`
	Digest   []byte `cbor:"3,keyasint,omitempty"` // of a wireDigest
	Size     uint64 `cbor:"14,keyasint,omitempty"`
	Version  []byte `cbor:"28,keyasint,omitempty"` // of a wireVersion
	Sequence uint64 `cbor:"-256,keyasint,omitempty"`
}

type wireVersion struct {
	_          struct{} `cbor:",toarray"`
	Comparison Comparison
	Numbers    []int64
}

// wireText is by language, then by component.
type wireText map[string]map[wireTextKey]wireComponentText

type wireTextKey struct {
	_      struct{} `cbor:",toarray"`
	Module canon.Bytes
}

type wireComponentText struct {
	Description string `cbor:"5,keyasint,omitempty"`
	Version     string `cbor:"6,keyasint"`
}

// Encode returns the manifest in the one form that it has.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	var w writer
	for _, c := range m.Components {
		w.component(&c)
	}
	for _, r := range m.Requires {
		i := w.begin(canon.Bytes(r.Module))
		var p wireParameters
		w.rule(r.Rule, &p)
		w.shared = append(w.shared, setComponentIndex, i, overrideParams, p)
		w.ruleConditions(r.Rule)
	}
	text := wireText{language: w.text(m)}
	return w.pack(wireManifest{
		Version: suitVersion, Sequence: m.Sequence, Profile: profileVersion, Text: w.pack(text), Validate: w.pack(w.validate),
		Common: w.pack(wireCommon{Components: w.components, Shared: w.pack(w.shared)}),
	}), w.err
}

// writer puts a manifest's parts together. It keeps the first error.
type writer struct {
	components       [][]canon.Bytes
	shared, validate []any
	err              error
}

func (w *writer) pack(v any) []byte {
	b, err := canon.Marshal(v)
	if w.err == nil {
		w.err = err
	}
	return b
}

func (w *writer) begin(id ...canon.Bytes) int {
	w.components = append(w.components, id)
	return len(w.components) - 1
}

func (w *writer) component(c *Component) {
	i := w.begin(canon.Bytes(c.Module))
	p := wireParameters{Vendor: c.Vendor[:], Class: c.Class[:], Digest: w.digest(c.Image.Digest), Size: c.Image.Size}
	w.rule(c.From, &p)
	w.shared = append(w.shared, setComponentIndex, i, overrideParams, p, vendorCondition, policy, classCondition, policy)
	w.ruleConditions(c.From)
	w.validate = append(w.validate, setComponentIndex, i, imageMatch, policy)
	if c.Index == nil {
		return
	}
	i = w.begin(canon.Bytes(c.Module), indexSuffix)
	w.shared = append(w.shared, setComponentIndex, i, overrideParams, wireParameters{Digest: w.digest(c.Index.Digest), Size: c.Index.Size})
	w.validate = append(w.validate, setComponentIndex, i, imageMatch, policy)
}

func (w *writer) digest(d Digest) []byte {
	return w.pack(wireDigest{Algorithm: sha256Alg, Bytes: d[:]})
}

func (w *writer) rule(r Rule, p *wireParameters) {
	p.Sequence = r.Sequence
	if r.Comparison != 0 {
		p.Version = w.pack(wireVersion{Comparison: r.Comparison, Numbers: r.Version})
	}
}

func (w *writer) ruleConditions(r Rule) {
	if r.Comparison != 0 {
		w.shared = append(w.shared, versionCondition, policy)
	}
	if r.Sequence != 0 {
		w.shared = append(w.shared, sequenceCondition, policy)
	}
}

func (w *writer) text(m *Manifest) map[wireTextKey]wireComponentText {
	texts := make(map[wireTextKey]wireComponentText, len(m.Components))
	for _, c := range m.Components {
		texts[wireTextKey{Module: canon.Bytes(c.Module)}] = wireComponentText{Description: c.Description, Version: c.Version}
	}
	return texts
}
