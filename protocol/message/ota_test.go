package message

import (
	"reflect"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/codec"
)

func TestOTAMessagesComeBack(t *testing.T) {
	digest := []byte(strings.Repeat("\xfb", 32))
	for _, format := range []codec.Format{codec.JSON, codec.CBOR} {
		t.Run(format.String(), func(t *testing.T) {
			roundTrip(t, format, OTAReportVersion, OTAVersion{"default", "1.0", true, digest, 1 << 63, 2})
			roundTrip(t, format, OTAOfferFirmware, OTAOffer{"17", 2, "default", "2.0", digest, "https://hub/f/x/manifest", 7})
			roundTrip(t, format, OTARequestAssignment, OTAQuestion{"17", "default", digest, digest[:16], 1})
			roundTrip(t, format, OTAAssignment, OTABytes{"17", []byte{0xd2, 0x84}, true})
			roundTrip(t, format, OTAAssignmentRefused, OTARefused{"17", "paused"})
			roundTrip(t, format, OTAReportProgress, OTAProgress{"default", "17", 2, 9, "downloading", 999, "NET", 1 << 40})
			roundTrip(t, format, OTACancelUpdate, OTACancel{"default", "2.0", "17"})
		})
	}
}

func roundTrip[T any](t *testing.T, format codec.Format, method string, want T) {
	t.Helper()
	b, err := EncodeOTA(format, method, want)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := OTAMethod(b); err != nil || m != method {
		t.Errorf("method %q, %v, want %q", m, err, method)
	}
	if got, err := DecodeOTA[T](b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// TestOTABytes holds bytes to what the wire says: base64 in JSON, a byte string in CBOR.
func TestOTABytes(t *testing.T) {
	p := OTABytes{Bytes: []byte{0xfb, 0xff}}
	got, err := EncodeOTA(codec.JSON, OTARootUpdate, p)
	if want := `{"Method":"root_update","Payload":{"Bytes":"+/8="}}`; err != nil || string(got) != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	got, err = EncodeOTA(codec.CBOR, OTARootUpdate, p)
	if want := "\x65Bytes\x42\xfb\xff"; err != nil || !strings.Contains(string(got), want) {
		t.Errorf("%x, %v, want %x in it", got, err, want)
	}
}

func FuzzDecodeOTA(f *testing.F) {
	for _, format := range []codec.Format{codec.JSON, codec.CBOR} {
		b, err := EncodeOTA(format, OTAOfferFirmware, OTAOffer{Deployment: "1", Digest: make([]byte, 32)})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodeOTA[OTAOffer](b)
		if err != nil {
			return
		}
		again, err := EncodeOTA(codec.Detect(b), OTAOfferFirmware, p)
		if err != nil {
			return // text that is no UTF-8
		}
		if _, err := DecodeOTA[OTAOffer](again); err != nil {
			t.Errorf("%x was read and is written as %x: %v", b, again, err)
		}
	})
}
