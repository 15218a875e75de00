package codec_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// vector is a file of testdata/vectors; the README there explains the fields.
type vector struct {
	Input    *string `json:"input"`
	InputHex string  `json:"input_hex"`
	Limits   struct {
		Size  int `json:"size"`
		Depth int `json:"depth"`
		Count int `json:"count"`
	} `json:"limits"`
	Class   string `json:"class"`
	Offset  *int   `json:"offset"`
	JSON    string `json:"json"`
	CBORHex string `json:"cbor_hex"`
}

func (v vector) payload(t testing.TB) []byte {
	t.Helper()
	if v.Input != nil {
		return []byte(*v.Input)
	}
	b, err := hex.DecodeString(v.InputHex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func vectors(t testing.TB) map[string]vector {
	t.Helper()
	files, err := filepath.Glob("testdata/vectors/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	all := make(map[string]vector)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var v vector
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all[filepath.Base(f)] = v
	}
	return all
}

// class names an error as the vectors do.
func class(err error) string {
	var syntax *codec.SyntaxError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, codec.ErrTooLarge):
		return "too_large"
	case errors.Is(err, codec.ErrTooDeep):
		return "too_deep"
	case errors.Is(err, codec.ErrTooMany):
		return "too_many"
	case errors.As(err, &syntax):
		return "syntax"
	}
	return "unknown"
}

func TestVectors(t *testing.T) {
	for name, v := range vectors(t) {
		t.Run(name, func(t *testing.T) {
			lim := codec.Limits{Size: v.Limits.Size, Depth: v.Limits.Depth, Count: v.Limits.Count}
			d, err := codec.Decode(v.payload(t), lim)
			if got := class(err); got != v.Class {
				t.Fatalf("Decode = %v (%s), want %s", err, got, v.Class)
			}
			var syntax *codec.SyntaxError
			if errors.As(err, &syntax) {
				if v.Offset == nil || syntax.Offset != *v.Offset {
					t.Errorf("offset = %d (%s), want %v", syntax.Offset, syntax.Reason, v.Offset)
				}
			}
			if err != nil {
				return
			}
			defer d.Release()
			if got := string(d.Root().AppendJSON(nil)); got != v.JSON {
				t.Errorf("JSON = %s, want %s", got, v.JSON)
			}
			if got := hex.EncodeToString(d.Root().AppendCBOR(nil)); v.CBORHex != "" && got != v.CBORHex {
				t.Errorf("CBOR = %s, want %s", got, v.CBORHex)
			}
		})
	}
}
