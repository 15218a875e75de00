package actionapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// The bounds of what a request may hold.
const (
	maxParams = 20_000
	maxDepth  = 8
)

// params are the parameters of a request, one value each. A list is NAME.0, NAME.1 and so on, a member of an object NAME.MEMBER.
type params struct {
	values map[string]string
	// nested are the lists and objects of a JSON body as a signature over the body itself has them: the elements one behind the
	// other, under the list's own name. Clients that send JSON sign so, or over the flat form, as the one that they use does.
	nested map[string]string
}

// readParams reads the query of a GET, else the body, JSON or a form. A POST without a body may have everything in its query.
func readParams(w http.ResponseWriter, r *http.Request, maxBody int64) (*params, error) {
	query := r.URL.RawQuery
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, fault{codeRange, "the body is longer than " + strconv.FormatInt(e.Limit, 10) + " bytes"}
		}
		if err != nil {
			return nil, bad("the body", "could not be read: %v", err)
		}
		body = bytes.TrimSpace(body)
		media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		switch {
		case len(body) == 0:
		case media == "application/x-www-form-urlencoded" && body[0] != '{': // some clients say so of JSON, too
			query = string(body)
		default:
			return parseJSON(body)
		}
	}
	return parseQuery(query)
}

func parseQuery(query string) (*params, error) {
	if strings.Count(query, "&") >= maxParams {
		return nil, fault{codeRange, "there are more than " + strconv.Itoa(maxParams) + " parameters"}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, bad("the query", "is not encoded as a URL's: %v", err)
	}
	p := &params{values: make(map[string]string, len(values))}
	for name, list := range values {
		p.values[name] = list[0]
	}
	return p, nil
}

func parseJSON(body []byte) (*params, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil {
		return nil, bad("the body", "is no JSON object: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, bad("the body", "goes on behind the JSON object")
	}
	p := &params{values: make(map[string]string, len(object))}
	for name, v := range object {
		if err := p.add(name, v, 0); err != nil {
			return nil, err
		}
		switch v.(type) {
		case []any, map[string]any:
			if p.nested == nil {
				p.nested = map[string]string{}
			}
			p.nested[name] = string(appendSigned(nil, v))
		}
	}
	return p, nil
}

// add flattens a value of a JSON body; null is none.
func (p *params) add(name string, v any, depth int) error {
	if depth > maxDepth || len(p.values) >= maxParams {
		return fault{codeRange, "the body has more than " + strconv.Itoa(maxParams) + " values, or is nested more than " + strconv.Itoa(maxDepth) + " levels deep"}
	}
	switch v := v.(type) {
	case nil:
	case []any:
		for i, e := range v {
			if err := p.add(name+"."+strconv.Itoa(i), e, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for member, e := range v {
			if err := p.add(name+"."+member, e, depth+1); err != nil {
				return err
			}
		}
	default:
		p.values[name] = string(appendSigned(nil, v))
	}
	return nil
}

func (p *params) has(name string) bool {
	_, ok := p.values[name]
	return ok
}

// text is a parameter, "" for an absent one.
func (p *params) text(name string) string { return p.values[name] }

// given is a parameter that was sent, be it empty; nil for an absent one.
func (p *params) given(name string) *string {
	if v, ok := p.values[name]; ok {
		return &v
	}
	return nil
}

// need is a parameter that must be there.
func (p *params) need(name string) (string, error) {
	if v := p.values[name]; v != "" {
		return v, nil
	}
	return "", missing(name)
}

// list is NAME.0, NAME.1 … up to the first that is absent, or NAME alone.
func (p *params) list(name string) []string {
	var list []string
	for i := 0; ; i++ {
		v, ok := p.values[name+"."+strconv.Itoa(i)]
		if !ok {
			break
		}
		list = append(list, v)
	}
	if len(list) == 0 && p.values[name] != "" {
		list = append(list, p.values[name])
	}
	return list
}

// needList is a list that must have something in it.
func (p *params) needList(name string) ([]string, error) {
	list := p.list(name)
	if len(list) == 0 {
		return nil, missing(name + ".0")
	}
	return list, nil
}

// number is a whole number; an absent one is 0.
func (p *params) number(name string, least, most int64) (int64, error) {
	text := p.values[name]
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, bad(name, "%q is no whole number", cut(text))
	}
	if n < least || n > most {
		return 0, fault{codeRange, name + ": must be " + strconv.FormatInt(least, 10) + " to " + strconv.FormatInt(most, 10)}
	}
	return n, nil
}

// flag is true, false, 1 or 0; an absent one is false.
func (p *params) flag(name string) (bool, error) {
	text := p.values[name]
	if text == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, bad(name, "%q is neither true nor false", cut(text))
	}
	return on, nil
}

// onOff is on or off; nil for an absent one.
func (p *params) onOff(name string) (*bool, error) {
	switch p.values[name] {
	case "":
		return nil, nil
	case "on":
		return new(true), nil
	case "off":
		return new(false), nil
	}
	return nil, bad(name, "must be on or off")
}

// decoded is a parameter in base64; an absent one is nil. Both alphabets are taken, with and without padding.
func (p *params) decoded(name string) ([]byte, error) {
	text := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(p.values[name]), "=")
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, bad(name, "is not base64")
	}
	return b, nil
}

// needDecoded is decoded for one that must be there.
func (p *params) needDecoded(name string) ([]byte, error) {
	if p.values[name] == "" {
		return nil, missing(name)
	}
	return p.decoded(name)
}

// page is Offset and Limit of a list: 20 when nothing is said, at most 100.
func (p *params) page() (offset, limit int, err error) {
	from, err := p.number("Offset", 0, 1<<31)
	if err != nil {
		return 0, 0, err
	}
	n, err := p.number("Limit", 0, maxLimit)
	if err != nil {
		return 0, 0, err
	}
	if n == 0 {
		n = defaultLimit
	}
	return int(from), int(n), nil
}

const (
	defaultLimit = 20
	maxLimit     = 100
)

// cut shortens what is told back of a parameter.
func cut(text string) string {
	if len(text) > 32 {
		return text[:32] + "…"
	}
	return text
}
