package conversation

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// kinds are what may stand in place of a value that is not known beforehand.
var kinds = map[string]string{
	"int":   `-?[0-9]+`,
	"num":   `-?[0-9]+(?:\.[0-9]+)?`,
	"str":   `[^"]*`,
	"base":  `https?://[^/"]*`,
	"path":  `/[^"]*`,
	"value": `(?s:.*?)`,
}

var slot = regexp.MustCompile(`<([A-Za-z0-9_.]+)(?::([a-z]+))?>`)

// names is what the slots of a conversation stand for.
type names map[string]string

func (n names) lookup(name string) (string, bool) {
	switch name {
	case "now":
		return strconv.FormatInt(time.Now().Unix(), 10), true
	case "now.ms":
		return strconv.FormatInt(time.Now().UnixMilli(), 10), true
	}
	s, ok := n[name]
	return s, ok
}

// fill replaces the slots of a text that is sent.
func (n names) fill(text string) (string, error) {
	var missing error
	out := slot.ReplaceAllStringFunc(text, func(s string) string {
		v, ok := n.lookup(s[1 : len(s)-1])
		if !ok {
			missing = fmt.Errorf("%s stands for nothing", s)
		}
		return v
	})
	if missing != nil {
		return "", missing
	}
	return sign(out), nil
}

// sign replaces "<hmac SECRET TEXT>" at the end of a text.
func sign(text string) string {
	before, rest, ok := strings.Cut(text, "<hmac ")
	if !ok {
		return text
	}
	secret, body, _ := strings.Cut(strings.TrimSuffix(rest, ">"), " ")
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return before + hex.EncodeToString(mac.Sum(nil))
}

// match compares got with a pattern and keeps what the pattern names.
func (n names) match(pattern, got string) error {
	expr, keep, err := n.compile(pattern)
	if err != nil {
		return err
	}
	m := expr.FindStringSubmatch(got)
	if m == nil {
		return fmt.Errorf("got  %s\nwant %s", got, pattern)
	}
	for i, name := range keep {
		n[name] = m[i+1]
	}
	return nil
}

func (n names) compile(pattern string) (*regexp.Regexp, []string, error) {
	var expr strings.Builder
	var keep []string
	expr.WriteString("^")
	at := 0
	for _, m := range slot.FindAllStringSubmatchIndex(pattern, -1) {
		expr.WriteString(regexp.QuoteMeta(pattern[at:m[0]]))
		at = m[1]
		name, kind := pattern[m[2]:m[3]], ""
		if m[4] >= 0 {
			kind = pattern[m[4]:m[5]]
		}
		switch known, ok := n.lookup(name); {
		case kind != "" && kinds[kind] != "":
			expr.WriteString("(" + kinds[kind] + ")")
			keep = append(keep, name)
		case kind == "" && kinds[name] != "":
			expr.WriteString(kinds[name])
		case kind == "" && ok:
			expr.WriteString(regexp.QuoteMeta(known))
		default:
			return nil, nil, fmt.Errorf("<%s> stands for nothing", pattern[m[2]:m[1]-1])
		}
	}
	expr.WriteString(regexp.QuoteMeta(pattern[at:]) + "$")
	re, err := regexp.Compile(expr.String())
	return re, keep, err
}
