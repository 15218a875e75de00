package thingmodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/thing"
)

func fuzzModel(f *testing.F) *thing.Model {
	f.Helper()
	tmpl, err := thing.ParseTemplate([]byte(definition))
	if err != nil {
		f.Fatal(err)
	}
	model, err := thing.Compile(tmpl)
	if err != nil {
		f.Fatal(err)
	}
	return model
}

// seed adds a payload in both formats.
func seed(f *testing.F, payloads ...string) {
	f.Helper()
	for _, p := range payloads {
		f.Add([]byte(p))
		if b, err := codec.ToCBOR([]byte(p), codec.DefaultLimits()); err == nil {
			f.Add(b)
		}
	}
}

// plainRefusal tells whether err is one that a device can be answered with.
func plainRefusal(err error) bool {
	var r *uplink.Refusal
	return errors.As(refusal(err), &r) && r.Code != 0 && !strings.ContainsAny(r.Reason, "{}[]\"\\\n")
}

// other is the payload in the other format; nil when that cannot say it (a byte string, a number that has no JSON).
func other(b []byte) []byte {
	turn := codec.ToCBOR
	if codec.Detect(b) == codec.CBOR {
		turn = codec.ToJSON
	}
	out, err := turn(b, codec.DefaultLimits())
	if err != nil {
		return nil
	}
	return out
}

// FuzzPost: a property post in JSON or CBOR is refused with an answer that devices can read, or becomes a document that is read
// back the same; and the other format is judged alike.
func FuzzPost(f *testing.F) {
	seed(f, `{"RequestID":"1","Property":{"t":{"Value":21.5,"Time":1524448722000}}}`, `{"Property":{"t":{"Value":1e300}}}`,
		`{"Property":{"on":true,"h":7,"s":"größe"}}`, `{"Property":{"t":{"Value":20.000000,"Time":"1524448722000"},"h":{"Value":null}}}`,
		`{"Property":{"h":{"Value":1},"h":{"Value":2}}}`, `{"Property":[]}`, `{"Property":{"x\"{}":1}}`, `{"Property":{"t":{"Time":-1,"Value":9}}}`)
	model := fuzzModel(f)
	things := &Things{now: time.Now, metrics: newMetrics(nil)}
	now := time.UnixMilli(1_764_241_000_000)
	judge := func(b []byte) (stored []byte, known bool, err error) {
		doc, err := codec.Decode(b, codec.DefaultLimits())
		if err != nil {
			return nil, false, nil
		}
		defer doc.Release()
		changes, err := things.posted(nil, doc.Root().Get("Property"), model, now)
		if err != nil {
			return nil, true, err
		}
		return (&latest{exact: true}).with(changes, model).stored, true, nil
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		stored, known, err := judge(b)
		switch {
		case !known:
			return
		case err != nil:
			if !plainRefusal(err) {
				t.Fatalf("%T %v", err, err)
			}
		default:
			l, err := parseLatest(stored)
			if err != nil || !bytes.Equal(l.stored, stored) || !json.Valid(l.document()) {
				t.Fatalf("%s is read as %s: %v", stored, l.stored, err)
			}
		}
		twin := other(b)
		if twin == nil {
			return
		}
		again, known, twinErr := judge(twin)
		if known && ((err == nil) != (twinErr == nil) || err == nil && !bytes.Equal(stored, again)) {
			t.Fatalf("%x gives %s (%v), %x gives %s (%v)", b, stored, err, twin, again, twinErr)
		}
	})
}

// FuzzEvent is the same for events.
func FuzzEvent(f *testing.F) {
	seed(f, `{"RequestID":"6","Identifier":"alarm","Output":{"code":3},"Time":1524448722000}`, `{"Identifier":"alarm","Output":null}`,
		`{"Identifier":"alarm","Output":{"code":10}}`, `{"Identifier":7}`, `{"Identifier":"no\"[]"}`, `{"Identifier":"alarm","Output":[]}`)
	model := fuzzModel(f)
	judge := func(b []byte) (kept string, known bool, err error) {
		doc, err := codec.Decode(b, codec.DefaultLimits())
		if err != nil {
			return "", false, nil
		}
		defer doc.Release()
		id, _ := doc.Root().Get("Identifier").Str()
		output := doc.Root().Get("Output")
		if err := model.CheckEvent(id, output); err != nil {
			return "", true, err
		}
		kept, _ = eventOp(1, 1, id, model.EventType(id), output, 1, 1).Args[4].(string)
		return kept, true, nil
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kept, known, err := judge(b)
		switch {
		case !known:
			return
		case err != nil && !plainRefusal(err):
			t.Fatalf("%T %v", err, err)
		case kept != "" && !json.Valid([]byte(kept)):
			t.Fatalf("kept %q", kept)
		}
		twin := other(b)
		if twin == nil {
			return
		}
		again, known, twinErr := judge(twin)
		if known && ((err == nil) != (twinErr == nil) || kept != again) {
			t.Fatalf("%x gives %s (%v), %x gives %s (%v)", b, kept, err, twin, again, twinErr)
		}
	})
}
