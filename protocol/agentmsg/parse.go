package agentmsg

import (
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// limits of a message: a batch's data are one value.
var limits = codec.Limits{Size: MaxData + 4<<10, Depth: 8, Count: MaxStreams*(2*MaxRanges*3+16) + MaxRoutes*16 + 64}

// checker is a message that can say whether its fields make sense.
type checker interface {
	Message
	check() error
}

// Parse reads a message. With ErrUnsupported comes the answer, an *Unsupported; ErrMalformed is for everything that is no message.
func Parse(b []byte) (Message, error) {
	if codec.Detect(b) != codec.CBOR {
		return nil, fmt.Errorf("%w: not a CBOR map", ErrMalformed)
	}
	d, err := codec.DecodeAs(codec.CBOR, b, limits)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	root := d.Root()
	text, ok := root.Get("t").Str()
	t, m := Type(append([]byte(nil), text...)), checker(nil)
	_, versioned := root.Get("v").Int()
	d.Release()
	if !ok || !versioned || t == "" || len(t) > 64 {
		return nil, fmt.Errorf("%w: no type or no version", ErrMalformed)
	}
	switch t {
	case TypeHello:
		m = &Hello{}
	case TypeBatch:
		m = &Batch{}
	case TypeGap:
		m = &Gap{}
	case TypeRanges:
		m = &Ranges{}
	case TypeRefused:
		m = &Refused{}
	case TypeSlow:
		m = &Slow{}
	case TypeRetry:
		m = &Retry{}
	case TypeDiagnose:
		m = &Diagnose{}
	case TypeDiagnosis:
		m = &Diagnosis{}
	case TypeConfig:
		m = &Config{}
	case TypeState:
		m = &State{}
	case TypeUnsupported:
		m = &Unsupported{}
	default:
		return &Unsupported{Type: t}, fmt.Errorf("%w: %q", ErrUnsupported, t)
	}
	if err := codec.UnmarshalLimits(b, m, limits); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, t, err)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Hello) check() error {
	if len(m.Streams) > MaxStreams || len(m.Agent) > 128 || len(m.Platform) > 64 || len(m.Caps) > 64 || len(m.Variant) > 32 || m.Gaps < 0 ||
		len(m.Routes) > MaxRoutes {
		return fmt.Errorf("%w: hello of %d streams, %d routes", ErrMalformed, len(m.Streams), len(m.Routes))
	}
	for _, c := range m.Caps {
		if len(c) > 64 {
			return fmt.Errorf("%w: capability of %d bytes", ErrMalformed, len(c))
		}
	}
	for i := range m.Routes {
		if err := m.Routes[i].check(); err != nil {
			return err
		}
	}
	if u := m.Uploads; u != nil && (u.Waiting < 0 || u.Sent < 0 || u.Failed < 0) {
		return fmt.Errorf("%w: uploads", ErrMalformed)
	}
	if m.Config != nil {
		if err := m.Config.check(); err != nil {
			return err
		}
	}
	for i := range m.Streams {
		s := &m.Streams[i]
		if err := errors.Join(s.check(), s.Settled.check()); err != nil {
			return err
		}
		if s.Next == 0 || s.Next > maxSeq || s.Records < 0 || s.Bytes < 0 || s.Lost < 0 {
			return fmt.Errorf("%w: stream %s", ErrMalformed, s.Stream)
		}
	}
	return nil
}

func (m *Batch) check() error {
	if m.First == 0 || m.First > maxSeq || m.Count < 1 || m.Count > MaxRecords || m.Size < 0 || m.Size > MaxData || len(m.Data) == 0 {
		return fmt.Errorf("%w: batch of %d records, %d bytes, from %d", ErrMalformed, m.Count, m.Size, m.First)
	}
	return m.Place.check()
}

func (m *Gap) check() error {
	if len(m.Gaps) == 0 || len(m.Gaps) > MaxRanges {
		return fmt.Errorf("%w: %d gaps", ErrMalformed, len(m.Gaps))
	}
	for i := range m.Gaps {
		g := &m.Gaps[i]
		if err := errors.Join(g.check(), g.Settled.check()); err != nil {
			return err
		}
		if g.From == 0 || g.To < g.From || g.To > maxSeq || g.Bytes < 0 || len(g.Reason) > 32 || !g.Settled.within(g.From, g.To) {
			return fmt.Errorf("%w: gap from %d to %d", ErrMalformed, g.From, g.To)
		}
	}
	return nil
}

func (m *Ranges) check() error {
	if len(m.Streams) > MaxStreams || m.RetryWindow < 0 || m.MaxBytes < 0 {
		return fmt.Errorf("%w: ranges of %d streams", ErrMalformed, len(m.Streams))
	}
	for i := range m.Streams {
		if err := errors.Join(m.Streams[i].check(), m.Streams[i].Ranges.check()); err != nil {
			return err
		}
	}
	return nil
}

func (m *Refused) check() error { return errors.Join(m.Place.check(), m.Numbers.check()) }

func (m *Slow) check() error {
	if !(m.Rate >= 0) || m.ForMs < 0 {
		return fmt.Errorf("%w: slow", ErrMalformed)
	}
	return nil
}

func (m *Retry) check() error {
	if m.Window < 0 {
		return fmt.Errorf("%w: retry window of %d s", ErrMalformed, m.Window)
	}
	return nil
}

func (m *Diagnose) check() error {
	if len(m.ID) > 64 {
		return fmt.Errorf("%w: diagnose", ErrMalformed)
	}
	return nil
}

func (m *Diagnosis) check() error {
	switch m.State {
	case "", BundleMaking, BundleUploading, BundleDone, BundleFailed:
	default:
		return fmt.Errorf("%w: diagnosis is %.20q", ErrMalformed, m.State)
	}
	if len(m.ID) > 64 || len(m.File) > 64 || m.Size < 0 || len(m.Reason) > MaxDetail {
		return fmt.Errorf("%w: diagnosis", ErrMalformed)
	}
	return nil
}

func (m *Config) check() error {
	if len(m.Bytes) == 0 || len(m.Bytes) > MaxConfig {
		return fmt.Errorf("%w: configuration of %d bytes", ErrMalformed, len(m.Bytes))
	}
	return nil
}

func (c *ConfigState) check() error {
	switch c.State {
	case "", ConfigTrial, ConfigApplied, ConfigBack, ConfigRefused:
	default:
		return fmt.Errorf("%w: a configuration is %.20q", ErrMalformed, c.State)
	}
	if len(c.Version) > 128 || len(c.Offered) > 128 || c.Counter > maxSeq || len(c.Reason) > 32 || len(c.Detail) > MaxDetail {
		return fmt.Errorf("%w: state of the configuration", ErrMalformed)
	}
	return nil
}

func (m *Unsupported) check() error { return nil }
