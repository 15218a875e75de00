package manifest

import (
	"bytes"
	"fmt"

	"github.com/hawser-iot/hawser/firmware/canon"
)

// Parse reads an encoded manifest. It accepts exactly what Encode writes.
func Parse(b []byte) (*Manifest, error) {
	m, err := read(b)
	if err != nil {
		return nil, malformed(err)
	}
	again, err := m.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, malformed(ErrNotProfile)
	}
	return m, nil
}

// read finds the values of a manifest. It need not see every mistake: what Encode makes of the values is compared.
func read(b []byte) (*Manifest, error) {
	var w wireManifest
	if err := canon.Open(b, MaxSize, &w); err != nil {
		return nil, err
	}
	if w.Version != suitVersion || w.Profile != profileVersion {
		return nil, fmt.Errorf("%w: SUIT version %d, profile %d; want %d and %d", ErrNotProfile, w.Version, w.Profile, suitVersion, profileVersion)
	}
	var common wireCommon
	if err := canon.Open(w.Common, MaxSize, &common); err != nil {
		return nil, fmt.Errorf("common: %w", err)
	}
	parameters, err := readShared(common.Shared, len(common.Components))
	if err != nil {
		return nil, fmt.Errorf("shared sequence: %w", err)
	}
	if err := commands(w.Validate, func(command int, _ canon.Raw) error { return known(command, setComponentIndex, imageMatch) }); err != nil {
		return nil, fmt.Errorf("validate: %w", err)
	}
	text := wireText{}
	if err := canon.Open(w.Text, MaxSize, &text); err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	m := &Manifest{Sequence: w.Sequence}
	for i, id := range common.Components {
		if err := m.add(id, parameters[i], text[language]); err != nil {
			return nil, fmt.Errorf("component %d: %w", i, err)
		}
	}
	return m, nil
}

// commands walks a command sequence: pairs of a command and its argument.
func commands(b []byte, do func(command int, argument canon.Raw) error) error {
	var items []canon.Raw
	if err := canon.Open(b, MaxSize, &items); err != nil {
		return err
	}
	if len(items)%2 != 0 {
		return fmt.Errorf("%w: a command without its argument", ErrNotProfile)
	}
	for i := 0; i < len(items); i += 2 {
		var command int
		if err := canon.Open(items[i], MaxSize, &command); err != nil {
			return err
		}
		if err := do(command, items[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func known(command int, all ...int) error {
	for _, c := range all {
		if c == command {
			return nil
		}
	}
	return fmt.Errorf("%w %d", ErrUnknownCommand, command)
}

// readShared finds the parameters of each component.
func readShared(b []byte, components int) ([]wireParameters, error) {
	if components > 2*MaxComponents+MaxRequired {
		return nil, fmt.Errorf("%w: %d components", ErrNotProfile, components)
	}
	all := make([]wireParameters, components)
	at := -1
	err := commands(b, func(command int, argument canon.Raw) error {
		switch command {
		case setComponentIndex:
			at++ // that it is the number which is written is seen when all is compared
		case overrideParams:
			if at < 0 || at >= components {
				return fmt.Errorf("%w: parameters for a component that is not there", ErrNotProfile)
			}
			return canon.Open(argument, MaxSize, &all[at])
		}
		return known(command, setComponentIndex, overrideParams, vendorCondition, classCondition, versionCondition, sequenceCondition)
	})
	return all, err
}

func (m *Manifest) add(id []canon.Bytes, p wireParameters, text map[wireTextKey]wireComponentText) error {
	switch {
	case len(id) == 2 && id[1] == indexSuffix && len(m.Components) > 0:
		image, err := p.payload()
		m.Components[len(m.Components)-1].Index = &image
		return err
	case len(id) != 1:
		return fmt.Errorf("%w: identifier of %d parts", ErrNotProfile, len(id))
	}
	rule, err := p.rule()
	if err != nil {
		return err
	}
	if len(p.Digest) == 0 {
		m.Requires = append(m.Requires, Requirement{Module: string(id[0]), Rule: rule})
		return nil
	}
	image, err := p.payload()
	if err != nil {
		return err
	}
	if len(p.Vendor) != len(UUID{}) || len(p.Class) != len(UUID{}) {
		return fmt.Errorf("%w: vendor or class is no UUID", ErrNotProfile)
	}
	about := text[wireTextKey{Module: id[0]}]
	m.Components = append(m.Components, Component{
		Module: string(id[0]), Vendor: UUID(p.Vendor), Class: UUID(p.Class), Image: image, From: rule,
		Version: about.Version, Description: about.Description,
	})
	return nil
}

func (p *wireParameters) payload() (Payload, error) {
	d, err := readDigest(p.Digest)
	return Payload{Digest: d, Size: p.Size}, err
}

func readDigest(b []byte) (Digest, error) {
	var w wireDigest
	if err := canon.Open(b, 64, &w); err != nil {
		return Digest{}, fmt.Errorf("digest: %w", err)
	}
	if w.Algorithm != sha256Alg || len(w.Bytes) != len(Digest{}) {
		return Digest{}, fmt.Errorf("%w: digest of algorithm %d with %d bytes; want SHA-256 (%d)", ErrNotProfile, w.Algorithm, len(w.Bytes), sha256Alg)
	}
	return Digest(w.Bytes), nil
}

func (p *wireParameters) rule() (Rule, error) {
	r := Rule{Sequence: p.Sequence}
	if len(p.Version) == 0 {
		return r, nil
	}
	var w wireVersion
	if err := canon.Open(p.Version, 256, &w); err != nil {
		return r, fmt.Errorf("version: %w", err)
	}
	r.Comparison, r.Version = w.Comparison, w.Numbers
	return r, r.check()
}
