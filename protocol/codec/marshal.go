package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// Marshal encodes a Go value. JSON is compact, without HTML escapes and without a newline at the end, fields in the order
// of the struct. CBOR has the same field names (from the json tags) and []byte as byte strings; json.RawMessage and other
// JSON marshallers are carried over.
func Marshal(f Format, v any) ([]byte, error) {
	if f == CBOR {
		b, err := cborEncoder.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("marshal CBOR: %w", err)
		}
		return b, nil
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("marshal JSON: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil
}

// Unmarshal decodes a payload of either format into a Go value within DefaultLimits. Unknown fields are ignored. What
// Decode refuses is refused with the same errors; a value of the wrong type for its field gives another error.
func Unmarshal(b []byte, v any) error { return UnmarshalLimits(b, v, Limits{}) }

// UnmarshalLimits is Unmarshal within other limits.
func UnmarshalLimits(b []byte, v any, lim Limits) error {
	d, err := Decode(b, lim)
	if err != nil {
		return err
	}
	defer d.Release()
	if d.format == JSON {
		if err := json.Unmarshal(b, v); err != nil {
			return fmt.Errorf("unmarshal JSON: %w", err)
		}
		return nil
	}
	// Written anew, the document has each key once and no indefinite lengths: both libraries see what Decode saw.
	if err := cborDecoder.Unmarshal(d.Root().AppendCBOR(nil), v); err != nil {
		return fmt.Errorf("unmarshal CBOR: %w", err)
	}
	return nil
}

// ToJSON returns a payload of either format as compact JSON.
func ToJSON(b []byte, lim Limits) ([]byte, error) {
	d, err := Decode(b, lim)
	if err != nil {
		return nil, err
	}
	defer d.Release()
	return d.Root().AppendJSON(nil), nil
}

// ToCBOR returns a payload of either format as CBOR.
func ToCBOR(b []byte, lim Limits) ([]byte, error) {
	d, err := Decode(b, lim)
	if err != nil {
		return nil, err
	}
	defer d.Release()
	return d.Root().AppendCBOR(nil), nil
}

// transcoder carries what a JSON marshaller wrote into CBOR, or the CBOR for a JSON unmarshaller into JSON.
type transcoder struct{ from Format }

var _ cbor.Transcoder = transcoder{}

// Transcode implements cbor.Transcoder. Decode has checked the limits of the whole before.
func (t transcoder) Transcode(dst io.Writer, src io.Reader) error {
	in, err := io.ReadAll(src)
	if err != nil {
		return err
	}
	d, err := DecodeAs(t.from, in, Limits{Size: maxSize, Count: maxSize, Depth: maxNesting})
	if err != nil {
		return err
	}
	defer d.Release()
	var out []byte
	if t.from == JSON {
		out = d.Root().AppendCBOR(nil)
	} else {
		out = d.Root().AppendJSON(nil)
	}
	_, err = dst.Write(out)
	return err
}

// maxNesting is the deepest that the CBOR library can be told to go.
const maxNesting = 65_535

var cborEncoder = func() cbor.EncMode {
	o := cbor.CoreDetEncOptions()
	o.ShortestFloat = cbor.ShortestFloatNone
	o.JSONMarshalerTranscoder = transcoder{JSON}
	m, err := o.EncMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return m
}()

var cborDecoder = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DefaultMapType:            reflect.TypeFor[map[string]any](),
		IntDec:                    cbor.IntDecConvertSignedOrFail,
		MaxNestedLevels:           maxNesting, // Decode has checked the limits
		MaxArrayElements:          1<<31 - 1,
		MaxMapPairs:               1<<31 - 1,
		JSONUnmarshalerTranscoder: transcoder{CBOR},
	}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return m
}()
