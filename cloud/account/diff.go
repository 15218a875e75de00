package account

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// masked stands for a secret in the audit log.
const masked = "**redacted**"

// step is one difference: what was at a path (a JSON pointer) and what is now. A member that was not there is absent.
type step struct {
	Path   string `json:"path"`
	Before any    `json:"before,omitempty"`
	After  any    `json:"after,omitempty"`
	Note   string `json:"note,omitempty"`
}

// Diff is what differs between two JSON documents, as a JSON array of {"path","before","after"}, with secrets masked.
// An empty document is one that is not there; "" is returned when nothing differs.
func Diff(before, after []byte) string {
	var steps []step
	walk("", "", decode(before), decode(after), &steps)
	if len(steps) == 0 {
		return ""
	}
	return encode(steps)
}

// Asked is what a request asked for, for the entry that goes along with its change: a JSON document with secrets masked. "" when it is
// none.
func Asked(body []byte) string {
	v := decode(body)
	if v == nil {
		return ""
	}
	return encode([]step{{After: mask("", v), Note: "asked for; the hub ended before it had answered"}})
}

func encode(steps []step) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(steps); err != nil { // never: it was JSON
		return ""
	}
	return strings.TrimSpace(b.String())
}

func decode(doc []byte) any {
	var v any
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return nil
	}
	return v
}

func walk(path, name string, before, after any, steps *[]step) {
	if reflect.DeepEqual(before, after) {
		return
	}
	b, bok := before.(map[string]any)
	a, aok := after.(map[string]any)
	if bok && aok {
		names := maps.Clone(b)
		maps.Copy(names, a)
		for _, n := range slices.Sorted(maps.Keys(names)) {
			walk(path+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(n), n, b[n], a[n], steps)
		}
		return
	}
	*steps = append(*steps, step{Path: path, Before: mask(name, before), After: mask(name, after)})
}

// secretWords mark a member whose value is a secret; openWords those that only sound like one.
var (
	secretWords = []string{"secret", "password", "token", "recovery", "credential", "authorization", "cookie", "passphrase", "privatekey", "otpauth", "dsn", "apikey", "clientkey"}
	secretNames = []string{"key", "code", "session", "url", "uri", "headers"}
	openNames   = []string{"haspassword", "resetsecret"}
)

// isSecret tells by a member's name whether its value is one. In doubt it is.
func isSecret(name string) bool {
	name = strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
	if slices.Contains(openNames, name) {
		return false
	}
	return slices.Contains(secretNames, name) || slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
}

// mask replaces what is secret in a value, which is a member called name.
func mask(name string, v any) any {
	if v == nil {
		return nil
	}
	if isSecret(name) {
		return masked
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for n, e := range v {
			out[n] = mask(n, e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = mask(strconv.Itoa(i), e)
		}
		return out
	}
	return v
}
