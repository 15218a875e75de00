//go:build !core

package agent

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Variable is NAME=VALUE of a driver's environment. The value may be a secret, and is not shown.
type Variable string

func (v Variable) show() string {
	name, value, _ := strings.Cut(string(v), "=")
	return strconv.Quote(name + "=" + Secret(value).String())
}

func (v Variable) hidden() []Secret {
	_, value, _ := strings.Cut(string(v), "=")
	return long(value)
}

// DriverSettings are a driver's own. What is below a key that names a secret is not shown.
type DriverSettings map[string]any

func (s DriverSettings) show() string {
	b, err := json.Marshal(hide(map[string]any(s), false, nil)) // JSON is YAML too
	if err != nil {
		return strconv.Quote(err.Error())
	}
	return string(b)
}

func (s DriverSettings) hidden() (list []Secret) {
	hide(map[string]any(s), false, func(text string) { list = append(list, long(text)...) })
	return list
}

// secretKeys are parts of names of keys whose values are secrets, as the hub takes them.
var secretKeys = []string{"secret", "password", "passwd", "token", "credential", "apikey", "api_key", "private"}

func secretKey(name string) bool {
	name = strings.ToLower(name)
	for _, part := range secretKeys {
		if strings.Contains(name, part) {
			return !strings.HasSuffix(name, "_file")
		}
	}
	return false
}

// hide is a value without its secrets; found, if not nil, is told of them.
func hide(v any, secret bool, found func(string)) any {
	switch x := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(x))
		for k, e := range x {
			m[k] = hide(e, secret || secretKey(k), found)
		}
		return m
	case []any:
		list := make([]any, len(x))
		for i, e := range x {
			list[i] = hide(e, secret, found)
		}
		return list
	case string:
		if secret {
			if found != nil {
				found(x)
			}
			return Secret(x).String()
		}
	default:
		if secret && v != nil {
			return Secret("x").String()
		}
	}
	return v
}

// long is a text that is looked for in all files; a short one is found in too much that is none.
func long(text string) []Secret {
	if len(text) < 6 {
		return nil
	}
	return []Secret{Secret(text)}
}
