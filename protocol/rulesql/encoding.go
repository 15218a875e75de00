package rulesql

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // a checksum that other systems ask for
	"crypto/sha1" //nolint:gosec // the same
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash/crc32"
	"io"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// encodings turn values into texts of another form and back. What is no text, as of gzip and CBOR, is base64.
func encodings() []function {
	return []function{
		{name: "to_json", params: "v", run: toJSON},
		{name: "from_json", params: "t", run: fromJSON},
		{name: "to_base64", params: "t", is: stock | star, run: textual(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) })},
		{name: "from_base64", params: "t", run: fromBase64},
		{name: "to_hex", params: "t", is: star, run: textual(func(s string) string { return hex.EncodeToString([]byte(s)) })},
		{name: "from_hex", params: "t", run: fromHex},
		{name: "to_gzip", params: "t", is: star, run: toGzip},
		{name: "from_gzip", params: "t", run: fromGzip},
		{name: "to_cbor", params: "v", run: toCBOR},
		{name: "from_cbor", params: "t", run: fromCBOR},
	}
}

// hashes are written in hexadecimal digits; crc32 is a number.
func hashes() []function {
	return []function{
		{name: "md5", params: "t", is: star, run: textual(func(s string) string { h := md5.Sum([]byte(s)); return hex.EncodeToString(h[:]) })},   //nolint:gosec // see above
		{name: "sha1", params: "t", is: star, run: textual(func(s string) string { h := sha1.Sum([]byte(s)); return hex.EncodeToString(h[:]) })}, //nolint:gosec // see above
		{name: "sha256", params: "t", is: star, run: textual(func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) })},
		{name: "sha512", params: "t", is: star, run: textual(func(s string) string { h := sha512.Sum512([]byte(s)); return hex.EncodeToString(h[:]) })},
		{name: "hmac_sha256", params: "tt", run: func(_ *Env, _ *Call, key, s, _ val) val {
			h := hmac.New(sha256.New, []byte(key.str))
			h.Write([]byte(s.str))
			return text(hex.EncodeToString(h.Sum(nil)))
		}},
		{name: "crc32", params: "t", is: star, run: func(_ *Env, _ *Call, s, _, _ val) val { return integer(int64(crc32.ChecksumIEEE([]byte(s.str)))) }},
	}
}

func toJSON(_ *Env, _ *Call, v, _, _ val) val {
	if v.kind == vMissing {
		return v
	}
	return text(string(v.appendJSON(nil)))
}

// limits of what from_json and its like read.
var decoded = codec.Limits{Size: MaxText, Depth: 32, Count: MaxItems}

func fromJSON(e *Env, x *Call, s, _, _ val) val {
	doc, err := codec.DecodeAs(codec.JSON, []byte(s.str), decoded)
	if err != nil {
		return e.unfit(x, "the text is not JSON")
	}
	return e.owned(x, doc)
}

// owned is the value of a document that is never released, because the value may outlive the evaluation's next step.
func (e *Env) owned(x *Call, doc *codec.Doc) val {
	v := fromNode(doc.Root())
	if !e.spend(x, v.length()) {
		return val{}
	}
	return v
}

func fromBase64(e *Env, x *Call, s, _, _ val) val {
	b, err := base64.StdEncoding.DecodeString(s.str)
	if err != nil {
		return e.unfit(x, "the text is not base64")
	}
	return text(string(b))
}

func fromHex(e *Env, x *Call, s, _, _ val) val {
	b, err := hex.DecodeString(s.str)
	if err != nil {
		return e.unfit(x, "the text is not hexadecimal")
	}
	return text(string(b))
}

// gzipCost is what the state of a compressor costs, in steps.
const gzipCost = 4096

func toGzip(e *Env, x *Call, s, _, _ val) val {
	if !e.spend(x, gzipCost+len(s.str)) {
		return val{}
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s.str)) // a buffer takes everything
	_ = w.Close()
	return text(base64.StdEncoding.EncodeToString(b.Bytes()))
}

func fromGzip(e *Env, x *Call, s, _, _ val) val {
	if !e.spend(x, gzipCost) {
		return val{}
	}
	b, err := base64.StdEncoding.DecodeString(s.str)
	if err != nil {
		return e.unfit(x, "the text is not base64")
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return e.unfit(x, "the bytes are not of gzip")
	}
	out, err := io.ReadAll(io.LimitReader(r, MaxText+1))
	if err != nil {
		return e.unfit(x, "the bytes are not of gzip")
	}
	if len(out) > MaxText {
		return e.tooLong(x)
	}
	return text(string(out))
}

func toCBOR(e *Env, x *Call, v, _, _ val) val {
	if v.kind == vMissing {
		return v
	}
	if len(v.appendJSON(nil)) > MaxText {
		return e.tooLong(x)
	}
	b, err := codec.Marshal(codec.CBOR, v.any())
	if err != nil {
		return e.unfit(x, "it cannot be written in CBOR")
	}
	return text(base64.StdEncoding.EncodeToString(b))
}

func fromCBOR(e *Env, x *Call, s, _, _ val) val {
	b, err := base64.StdEncoding.DecodeString(s.str)
	if err != nil {
		return e.unfit(x, "the text is not base64")
	}
	doc, err := codec.DecodeAs(codec.CBOR, b, decoded)
	if err != nil {
		return e.unfit(x, "the bytes are not CBOR")
	}
	v := e.owned(x, doc)
	if v.kind == vString && !utf8.ValidString(v.str) {
		return e.unfit(x, "the bytes are not CBOR")
	}
	return v
}
