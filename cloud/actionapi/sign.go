package actionapi

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the algorithm is the other API's, and the key is random and behind the text
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/protocol/credential"
)

const signatureParam = "Signature"

// signed tells whether the parameters were signed with a private key: the SHA-1 of all of them but the signature, sorted by name, name
// and value joined, the key behind.
func (p *params) signed(private credential.Secret) bool {
	given := []byte(strings.ToLower(p.values[signatureParam]))
	ok := hmac.Equal(given, signature(p.values, private))
	if p.nested != nil && !ok {
		ok = hmac.Equal(given, signature(p.unfolded(), private))
	}
	return ok
}

func signature(values map[string]string, private credential.Secret) []byte {
	h := sha1.New() //nolint:gosec // see above
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if name != signatureParam {
			h.Write([]byte(name))
			h.Write([]byte(values[name]))
		}
	}
	h.Write([]byte(private.Reveal()))
	return []byte(hex.EncodeToString(h.Sum(nil)))
}

// unfolded are the parameters with each list and object of the body as one value.
func (p *params) unfolded() map[string]string {
	all := maps.Clone(p.nested)
	for name, v := range p.values {
		top, _, _ := strings.Cut(name, ".")
		if _, ok := p.nested[top]; !ok {
			all[name] = v
		}
	}
	return all
}

// appendSigned writes a JSON value as it is signed: numbers as decimals, the elements of lists and the members of objects joined.
func appendSigned(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(b, v...)
	case bool:
		return strconv.AppendBool(b, v)
	case json.Number:
		return append(b, decimal(v.String())...)
	case []any:
		for _, e := range v {
			b = appendSigned(b, e)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b = appendSigned(append(b, name...), v[name])
		}
	}
	return b
}

// decimal is a JSON number without exponent and needless zeros.
func decimal(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		return text
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}
