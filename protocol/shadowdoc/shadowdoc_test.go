package shadowdoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

const sample = `{"State":{"Reported":{"a":1,"b":"two","light":{"level":7,"on":true}},"Desired":{"a":2}},` +
	`"Metadata":{"Reported":{"a":{"Timestamp":11},"b":{"Timestamp":12},"light":{"level":{"Timestamp":13},"on":{"Timestamp":14}}},` +
	`"Desired":{"a":{"Timestamp":15}}},"Timestamp":15,"Version":4}`

func sampleDocument(t testing.TB) *Document {
	t.Helper()
	d, err := Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	d.Revision = 77
	return d
}

func TestAccessors(t *testing.T) {
	d := sampleDocument(t)
	if v, ok := d.Reported("light"); v != `{"level":7,"on":true}` || !ok {
		t.Errorf("reported light %s %v", v, ok)
	}
	if v, ok := d.Desired("a"); v != "2" || !ok {
		t.Errorf("desired a %s %v", v, ok)
	}
	if v, ok := d.Desired("b"); ok {
		t.Errorf("desired b %s", v)
	}
	if !d.HasDesired() || New().HasDesired() {
		t.Error("HasDesired is wrong")
	}
	if got := string(d.AppendDelta(nil, false)); got != `{"a":2}` {
		t.Errorf("delta %s", got)
	}
}

func TestPayloadLimit(t *testing.T) {
	const topicName = "/$system/70ly1tvowt696r15/w3n7h91jq2bxzm5d/shadow/downstream"
	n := PayloadLimit(2048, topicName)
	// A PUBLISH of QoS 1: one byte of type, two of length below 16,384, two and the topic, two of packet id.
	if packet := 1 + 2 + 2 + len(topicName) + 2 + n; packet > 2048 || packet < 2040 {
		t.Errorf("a payload of %d makes a packet of %d", n, packet)
	}
	if n := PayloadLimit(10, topicName); n < 1 {
		t.Errorf("limit %d means none", n)
	}
}

func TestReplyForDisabledShadow(t *testing.T) {
	got := string(New().AppendReply(nil, message.CodeShadowDisabled, time.Unix(99, 0)))
	if want := `{"Method":"reply","Payload":{"RetCode":100027},"Version":0,"Timestamp":99}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestStored(t *testing.T) {
	d := sampleDocument(t)
	stored := d.Encode()
	again, err := Decode(stored)
	if err != nil {
		t.Fatal(err)
	}
	clear(stored) // Decode keeps nothing of it
	if got := string(again.AppendDocument(nil)); got != sample || again.Revision != 77 {
		t.Errorf("revision %d, document %s", again.Revision, got)
	}
	if empty, err := Decode(New().Encode()); err != nil || *emptied(empty) != (emptyDocument{}) {
		t.Errorf("empty document: %+v %v", empty, err)
	}
}

type emptyDocument struct {
	version           int32
	revision, at      int64
	reported, desired int
}

func emptied(d *Document) *emptyDocument {
	return &emptyDocument{d.Version, d.Revision, d.Timestamp, len(d.reported), len(d.desired)}
}

// resealed gives bytes a checksum that fits.
func resealed(b []byte) []byte {
	b = bytes.Clone(b)
	sum := crc32.Checksum(b[:len(b)-4], castagnoli)
	return append(b[:len(b)-4], byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
}

func TestStoredDamage(t *testing.T) {
	good := sampleDocument(t).Encode()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := Decode(bad); !errors.Is(err, ErrStored) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := Decode(good[:i]); !errors.Is(err, ErrStored) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	for name, bad := range map[string][]byte{
		"version of the form": resealed(append([]byte{2}, good[1:]...)),
		"bytes behind":        resealed(append(bytes.Clone(good), 0)),
		"many keys":           resealed([]byte{1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0, 0}),
		"long varint":         resealed([]byte{1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}),
		"keys out of order":   resealed([]byte{1, 0, 0, 0, 2, 1, 'b', 1, '1', 0, 0, 1, 'a', 1, '1', 0, 0, 0, 0, 0, 0, 0}),
	} {
		if _, err := Decode(bad); !errors.Is(err, ErrStored) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, bad := range []string{
		``, `[]`, `{`, `{"State":{"Reported":{},"Desired":{}},"Timestamp":0}`,
		`{"State":{"Reported":{},"Desired":{}},"Timestamp":0,"Version":-1}`,
		`{"State":{"Reported":{},"Desired":{}},"Timestamp":"0","Version":1}`,
		`{"State":{"Reported":null,"Desired":{}},"Timestamp":0,"Version":1}`,
		`{"State":{"Reported":{}},"Timestamp":0,"Version":1}`,
		`{"State":{"Reported":{"a":[[[[[[[[[1]]]]]]]]]},"Desired":{}},"Timestamp":0,"Version":1}`,
	} {
		if _, err := Parse([]byte(bad)); !errors.Is(err, ErrDocument) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// Random conversations: versions and revisions count changes, sections stay sorted, every message is JSON within its
// limit, and a request that answers well is repeatable with the same result.
func TestRandomConversations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	values := []string{"1", `"x"`, "null", `{"p":1,"q":{"r":2}}`, `{"q":{"r":null}}`, "[1,2]", "true", "{}"}
	pick := func() string {
		var b strings.Builder
		for i := range 1 + r.IntN(3) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`"k` + strconv.Itoa(r.IntN(5)) + `":` + values[r.IntN(len(values))])
		}
		return "{" + b.String() + "}"
	}
	d := New()
	for i := range 3000 {
		merge := strconv.FormatBool(r.IntN(2) == 0)
		version := `,"Version":` + strconv.Itoa(int(d.Version))
		request := ""
		switch r.IntN(5) {
		case 0:
			request = `{"Method":"update","Delta":true,"Merge":` + merge + `,"State":{"Desired":null}` + version + `}`
		case 1:
			request = `{"Method":"delete","Merge":` + merge + `,"State":{"Reported":{"k1":null},"Desired":{"k2":null}}` + version + `}`
		default:
			request = `{"Method":"update","Merge":` + merge + `,"State":{"Reported":` + pick() + `}` + version + `}`
		}
		desire := r.IntN(4) == 0
		if desire {
			request = pick()
		}
		d = stepRandom(t, d, request, desire, merge == "true", int64(i))
	}
}

func stepRandom(t *testing.T, d *Document, request string, desire, merge bool, now int64) *Document {
	t.Helper()
	v := decode(t, request)
	defer v.Release()
	var o Outcome
	if at := time.Unix(now, 0); desire {
		o = Desire(d, v.Root(), at, Options{Merge: merge})
	} else {
		o = Device(d, v.Root(), at, Options{})
	}
	if o.Code != message.CodeOK {
		t.Fatalf("%s: code %d", request, o.Code)
	}
	if reply := o.AppendReply(nil, 0); !json.Valid(reply) {
		t.Fatalf("%s: reply %s", request, reply)
	}
	if o.Next == nil {
		return d
	}
	if o.Next.Version != d.Version+1 || o.Next.Revision != d.Revision+1 {
		t.Fatalf("%s: version %d, revision %d after %d, %d", request, o.Next.Version, o.Next.Revision, d.Version, d.Revision)
	}
	wire := o.Next.AppendDocument(nil)
	again, err := Parse(wire)
	if err != nil {
		t.Fatalf("%s: %v", wire, err)
	}
	if got := again.AppendDocument(nil); !bytes.Equal(got, wire) {
		t.Fatalf("document %s, parsed again %s", wire, got)
	}
	stored, err := Decode(o.Next.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func FuzzDevice(f *testing.F) {
	f.Add(`{"Method":"update","State":{"Reported":{"a":{"x":null}},"Desired":null},"Merge":true,"Delta":true,"version":4}`, false, 100)
	f.Add(`{"Method":"delete","State":{"Reported":null,"Desired":{"a":null}}}`, true, 0)
	f.Add(`{"Method":"update","State":{"Reported":{"light":{"on":{"deep":[1,{}]}}}},"Version":-1}`, false, 30)
	f.Fuzz(func(t *testing.T, request string, merge bool, limit int) {
		doc, err := codec.Decode([]byte(request), codec.DefaultLimits())
		if err != nil {
			return
		}
		defer doc.Release()
		d := sampleDocument(t)
		for _, o := range []Outcome{
			Device(d, doc.Root(), time.Unix(20, 0), Options{Merge: merge}),
			Desire(d, doc.Root(), time.Unix(20, 0), Options{Merge: merge}),
		} {
			checkOutcome(t, o, limit)
		}
		if got := string(d.AppendDocument(nil)); got != sample {
			t.Fatalf("the document before has become %s", got)
		}
	})
}

func checkOutcome(t *testing.T, o Outcome, limit int) {
	if b := o.AppendReply(nil, limit); !json.Valid(b) || limit > 300 && len(b) > limit {
		t.Fatalf("reply %s", b)
	}
	wire := o.Document().AppendDocument(nil)
	if !json.Valid(wire) || len(wire) > DefaultMaxSize {
		t.Fatalf("document %s", wire)
	}
	all, err := o.Document().Controls(limit)
	for _, b := range all {
		if !json.Valid(b) || limit > 0 && len(b) > limit {
			t.Fatalf("control %s", b)
		}
	}
	if err != nil && !errors.Is(err, ErrTooLargeForDevice) {
		t.Fatal(err)
	}
	if o.Next == nil {
		return
	}
	again, err := Parse(wire)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.AppendDocument(nil); !bytes.Equal(got, wire) {
		t.Fatalf("document %s, parsed again %s", wire, got)
	}
	if _, err := Decode(o.Next.Encode()); err != nil {
		t.Fatal(err)
	}
}

func FuzzStored(f *testing.F) {
	f.Add(sampleDocument(f).Encode())
	f.Add(New().Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, resealed(append(bytes.Clone(b), 0, 0, 0, 0))} {
			d, err := Decode(b)
			if err != nil {
				if !errors.Is(err, ErrStored) {
					t.Fatal(err)
				}
				continue
			}
			if got := d.Encode(); !bytes.Equal(got, b) {
				t.Fatalf("%x is read, %x written", b, got)
			}
		}
	})
}

func benchDocument(b *testing.B, keys int) *Document {
	var state strings.Builder
	for i := range keys {
		if i > 0 {
			state.WriteByte(',')
		}
		state.WriteString(`"property` + strconv.Itoa(i) + `":` + strconv.Itoa(i*3) + `.5`)
	}
	v := decode(b, `{"Method":"update","State":{"Reported":{`+state.String()+`}}}`)
	defer v.Release()
	o := Device(New(), v.Root(), time.Unix(1700000000, 0), Options{})
	if o.Next == nil {
		b.Fatal("no document")
	}
	return o.Next
}

// BenchmarkUpdate is what the hub does for a device's update of three keys: read the stored form, decode the request,
// apply it, write the answer and the stored form.
func BenchmarkUpdate(b *testing.B) {
	stored := benchDocument(b, 10).Encode()
	request := []byte(`{"Method":"update","State":{"Reported":{"property2":21.5,"property5":"on","property7":true}},"Version":1}`)
	reply := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		d, err := Decode(stored)
		if err != nil {
			b.Fatal(err)
		}
		doc, err := codec.Decode(request, codec.DefaultLimits())
		if err != nil {
			b.Fatal(err)
		}
		o := Device(d, doc.Root(), time.Unix(1700000001, 0), Options{})
		doc.Release()
		reply = o.AppendReply(reply[:0], 1900)
		if len(o.Next.Encode()) == 0 {
			b.Fatal("nothing")
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	stored := benchDocument(b, 10).Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(stored); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMergeUpdate(b *testing.B) {
	d := sampleDocument(b)
	doc := decode(b, `{"Method":"update","Merge":true,"State":{"Reported":{"light":{"on":false}}},"Version":4}`)
	b.ReportAllocs()
	for b.Loop() {
		if o := Device(d, doc.Root(), time.Unix(1700000001, 0), Options{}); o.Next == nil {
			b.Fatal("nothing")
		}
	}
}
