package connector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/store"
)

const (
	maxName        = 128
	maxDescription = 1024
	maxConfig      = 64 << 10
)

// members are those of a configuration, secrets and all.
type members map[string]json.RawMessage

func readMembers(config json.RawMessage) (members, error) {
	if len(config) > maxConfig {
		return nil, &ErrInvalid{Field: "config", Reason: fmt.Sprintf("has more than %d bytes", maxConfig)}
	}
	if len(bytes.TrimSpace(config)) == 0 {
		return members{}, nil
	}
	var m members
	if err := json.Unmarshal(config, &m); err != nil || m == nil {
		return nil, &ErrInvalid{Field: "config", Reason: "must be an object"}
	}
	return m, nil
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

// keep takes secrets that m leaves out from old; one that is null is taken away.
func (m members) keep(old members, secrets []string) {
	for _, name := range secrets {
		raw, given := m[name]
		switch {
		case given && isNull(raw):
			delete(m, name)
		case !given && old[name] != nil:
			m[name] = old[name]
		}
	}
}

// keepsTo holds that secrets which m leaves out would go to the server that they were given for.
func (m members) keepsTo(old members, kind rules.ConnectorKind) error {
	moved := slices.IndexFunc(kind.Address, func(name string) bool { return !same(old[name], m[name]) })
	if moved < 0 {
		return nil
	}
	for _, name := range kind.Secrets {
		if _, given := m[name]; !given && old[name] != nil && !isNull(old[name]) {
			return &ErrInvalid{Field: "config." + name, Reason: fmt.Sprintf("give it again, or null to take it away: with another %s it would go to another server",
				kind.Address[moved])}
		}
	}
	return nil
}

// same tells whether two members are the same, but for blanks.
func same(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	if json.Compact(&x, a) != nil || json.Compact(&y, b) != nil {
		return len(a) == 0 && len(b) == 0
	}
	return bytes.Equal(x.Bytes(), y.Bytes())
}

// encode is the configuration as its kind takes it.
func (m members) encode() json.RawMessage {
	b, err := json.Marshal(m)
	if err != nil { // never: the values were read from JSON
		panic(err)
	}
	return b
}

// split tells what may be shown apart from the names of what may not.
func (m members) split(secrets []string) (public json.RawMessage, set []string) {
	shown := maps.Clone(m)
	for _, name := range slices.Sorted(slices.Values(secrets)) {
		if raw, ok := shown[name]; ok && !isNull(raw) && string(bytes.TrimSpace(raw)) != `""` {
			set = append(set, name)
		}
		delete(shown, name)
	}
	return shown.encode(), set
}

// unseal returns the whole configuration of a stored connector.
func (c *Connectors) unseal(row *Connector) (json.RawMessage, error) {
	return c.Store.Unseal(store.ConnectorConfig, row.ID, row.sealed)
}

// show fills in what may be told of a row that was read from the store.
func (c *Connectors) show(row *Connector) error {
	config, err := c.unseal(row)
	if err != nil {
		return err
	}
	m, err := readMembers(config)
	if err != nil {
		return err
	}
	kind, ok := c.Deps.Kinds[row.Kind]
	if !ok { // which members of it are secret nobody knows
		row.Config = json.RawMessage(`{}`)
		return nil
	}
	row.Config, row.Secrets = m.split(kind.Secrets)
	return nil
}

// check tells whether a connector can be used, and returns its kind.
func (c *Connectors) check(name, description, kind string, m members) error {
	if n := utf8.RuneCountInString(name); n == 0 || n > maxName || !utf8.ValidString(name) {
		return &ErrInvalid{Field: "name", Reason: fmt.Sprintf("must have 1 to %d characters", maxName)}
	}
	if utf8.RuneCountInString(description) > maxDescription || !utf8.ValidString(description) {
		return &ErrInvalid{Field: "description", Reason: fmt.Sprintf("must have at most %d characters", maxDescription)}
	}
	conn, err := c.try(kind, m)
	if err != nil {
		return err
	}
	return conn.Close() // it has connected nowhere
}

// try makes the connection of a configuration.
func (c *Connectors) try(kind string, m members) (rules.Connection, error) {
	k, ok := c.Deps.Kinds[kind]
	if !ok {
		return nil, &ErrInvalid{Field: "kind", Reason: fmt.Sprintf("%q is none of %s", kind, strings.Join(c.Kinds(), ", "))}
	}
	conn, err := k.Open(m.encode(), c.Out)
	if err != nil {
		return nil, &ErrInvalid{Field: "config", Reason: err.Error(), Err: err}
	}
	return conn, nil
}
