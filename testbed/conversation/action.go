package conversation

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The ways in which a request to the Action API may come.
const (
	wayGet  = "GET"
	wayForm = "form"
	wayJSON = "JSON"
)

// Ways are all of them.
var Ways = []string{wayGet, wayForm, wayJSON}

// Actions reports whether the conversation in file speaks to the Action API, and so is to be played in every way.
func Actions(file string) (bool, error) {
	lines, err := read(file)
	return slices.ContainsFunc(lines, func(l line) bool { return strings.HasPrefix(l.text, "action ") }), err
}

// pair makes a key pair of these fields of the API.
func (p *Player) pair(name, fields string) error {
	var made struct{ ID, PublicKey, PrivateKey string }
	body := map[string]any{"name": name, "pair": true, "role": "operator", "project": "default"}
	if fields != "" {
		filled, err := p.names.fill(fields)
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(filled), &body); err != nil {
			return err
		}
	}
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if err := p.wanted(p.call("POST /v1/api-keys "+string(b)), http.StatusCreated, &made); err != nil {
		return err
	}
	p.names[name], p.names[name+".secret"], p.names[name+".id"] = made.PublicKey, made.PrivateKey, made.ID
	return nil
}

// action starts a request to the Action API: "K Name {…}".
func (p *Player) action(text string) *answer {
	a, err := p.signed(text)
	if err != nil {
		a = &answer{done: make(chan struct{}), err: err}
		close(a.done)
	}
	return a
}

func (p *Player) signed(text string) (*answer, error) {
	key, rest, _ := strings.Cut(text, " ")
	action, fields, _ := strings.Cut(rest, " ")
	params, err := p.params(fields)
	if err != nil {
		return nil, err
	}
	if _, ok := params["Action"]; !ok {
		params["Action"] = action
	}
	if _, ok := params["PublicKey"]; !ok {
		params["PublicKey"] = p.names[key]
	}
	if _, ok := params["Signature"]; !ok {
		params["Signature"] = signature(params, p.names[key+".secret"])
	}
	for name, v := range params {
		if v == nil {
			delete(params, name)
		}
	}
	return p.carry(params)
}

// params reads the object of a line: a list becomes NAME.0 and so on, an object its JSON in base64, {"base64":TEXT} that text in base64.
func (p *Player) params(fields string) (map[string]any, error) {
	params := map[string]any{}
	if fields == "" {
		return params, nil
	}
	filled, err := p.names.fill(fields)
	if err != nil {
		return nil, err
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal([]byte(filled), &given); err != nil {
		return nil, fmt.Errorf("%s: %w", filled, err)
	}
	for name, raw := range given {
		var list []string
		var text struct{ Base64 *string }
		switch {
		case raw[0] == '[':
			if err := json.Unmarshal(raw, &list); err != nil {
				return nil, err
			}
			for i, v := range list {
				params[name+"."+strconv.Itoa(i)] = v
			}
		case raw[0] == '{' && json.Unmarshal(raw, &text) == nil && text.Base64 != nil:
			params[name] = base64.StdEncoding.EncodeToString([]byte(*text.Base64))
		case raw[0] == '{':
			params[name] = base64.StdEncoding.EncodeToString(raw)
		default:
			dec := json.NewDecoder(bytes.NewReader(raw))
			dec.UseNumber()
			var v any
			if err := dec.Decode(&v); err != nil {
				return nil, err
			}
			params[name] = v
		}
	}
	return params, nil
}

// signature is the SHA-1 of the names and values in the order of the names, and the private key.
func signature(params map[string]any, private string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if params[name] != nil {
			fmt.Fprint(&b, name, params[name])
		}
	}
	sum := sha1.Sum([]byte(b.String() + private))
	return hex.EncodeToString(sum[:])
}

// carry sends parameters in the player's way.
func (p *Player) carry(params map[string]any) (*answer, error) {
	if p.way == wayJSON {
		b, err := json.Marshal(params)
		if err != nil {
			return nil, err
		}
		return p.send(http.MethodPost, "/", http.Header{"Content-Type": {"application/json"}}, string(b)), nil
	}
	values := url.Values{}
	for name, v := range params {
		values.Set(name, fmt.Sprint(v))
	}
	encoded := strings.ReplaceAll(values.Encode(), "+", "%20") // as the API's own document wants it
	if p.way == wayForm {
		return p.send(http.MethodPost, "/", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, encoded), nil
	}
	return p.send(http.MethodGet, "/?"+encoded, http.Header{}, ""), nil
}
