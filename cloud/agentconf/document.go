package agentconf

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// own are keys that are a gateway's own: it refuses a document with one.
var own = []string{"product", "device", "device_file", "secret", "secret_file", "register", "data", "firmware", "subdevice_firmware", "remote_config"}

// mask stands for a secret.
const mask = "**redacted**"

// check tells what is wrong with a document, as far as it can be told without the agent.
func check(document string) error {
	no := func(format string, args ...any) error { return &InvalidError{"document", fmt.Sprintf(format, args...)} }
	switch {
	case document == "":
		return no("is empty; DELETE takes a configuration away")
	case len(document) > MaxDocument:
		return no("is longer than %d bytes", MaxDocument)
	case !utf8.ValidString(document) || strings.ContainsRune(document, 0):
		return no("is not text")
	case strings.Contains(document, mask):
		return no("has a secret that is masked: give the secret itself")
	}
	root, err := parse([]byte(document))
	if err != nil {
		return no("is no YAML with keys: %v", err)
	}
	for i := 0; i < len(root.Content); i += 2 {
		if key := root.Content[i].Value; slices.Contains(own, key) {
			return no("%s is the gateway's own and cannot be set from here", key)
		}
	}
	return nil
}

var errNoKeys = errors.New("there are none")

func parse(document []byte) (*yaml.Node, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(document, &n); err != nil {
		return nil, err
	}
	if len(n.Content) != 1 || n.Content[0].Kind != yaml.MappingNode {
		return nil, errNoKeys
	}
	return n.Content[0], nil
}

// masked is a document without its secrets: what is under a key that names one, what a driver gets into its environment, and passwords in URLs.
func masked(document []byte) (string, error) {
	if len(document) == 0 {
		return "", nil
	}
	root, err := parse(document)
	if err != nil {
		return "", fmt.Errorf("a document that can't be read: %w", err)
	}
	hide(root, false)
	b, err := yaml.Marshal(root)
	return string(b), err
}

// secretKeys are parts of names of keys whose values are secrets.
var secretKeys = []string{"secret", "password", "passwd", "token", "credential", "apikey", "api_key", "private"}

func secretKey(name string) bool {
	name = strings.ToLower(name)
	if strings.HasSuffix(name, "_file") {
		return false
	}
	return name == "env" || slices.ContainsFunc(secretKeys, func(s string) bool { return strings.Contains(name, s) })
}

// hide masks what is in n, all of it when it is a secret.
func hide(n *yaml.Node, secret bool) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", "" // may hold what was commented out
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			hide(n.Content[i], false)
			hide(n.Content[i+1], secret || secretKey(n.Content[i].Value))
		}
	case yaml.ScalarNode:
		if secret && n.Value != "" {
			n.SetString(mask)
		} else if u, err := url.Parse(n.Value); err == nil && u.User != nil {
			if _, set := u.User.Password(); set {
				n.SetString(strings.Replace(n.Value, u.User.String()+"@", mask+"@", 1))
			}
		} else if strings.Contains(n.Value, "@") && strings.Contains(n.Value, "://") {
			n.SetString(mask)
		}
	default:
		for _, c := range n.Content {
			hide(c, secret)
		}
	}
}
