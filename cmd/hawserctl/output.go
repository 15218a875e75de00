package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The ways to print, as -o names them.
const (
	asTable = "table"
	asWide  = "wide"
	asJSON  = "json"
	asYAML  = "yaml"
	asCSV   = "csv"
)

var outputs = []string{asTable, asWide, asJSON, asYAML, asCSV}

// raw tells whether objects are printed as they came.
func (c *cli) raw() bool { return c.output == asJSON || c.output == asYAML }

// printOne prints one object: as it came in JSON or YAML, or a line a member.
func (c *cli) printOne(object json.RawMessage) error {
	if c.raw() {
		return c.printRaw(object)
	}
	node, err := toYAML(object)
	if err != nil {
		return err
	}
	if c.output == asCSV || len(c.columns) > 0 {
		return c.printRows([]*yaml.Node{node}, c.columns, nil)
	}
	var rows [][]string
	for _, name := range first {
		if value := member(node, name); value != nil {
			rows = append(rows, []string{name, cell(value)})
		}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if name := node.Content[i].Value; !slices.Contains(first, name) {
			rows = append(rows, []string{name, cell(node.Content[i+1])})
		}
	}
	return writeTable(c.out, rows, 0) // a member that is cut off would be lost
}

// first are the members that a reader looks for, before all others.
var first = []string{"id", "productSN", "deviceSN", "name", "description", "kind", "state", "version", "revision", "key",
	"productSecret", "deviceSecret", "requestID", "identifier", "retCode", "message", "output"}

// printList prints objects: an array in JSON or YAML, else a table of the given members, or of all with -o wide and csv.
func (c *cli) printList(items []json.RawMessage, members ...string) error {
	if c.raw() {
		if items == nil {
			items = []json.RawMessage{}
		}
		b, err := json.Marshal(items)
		if err != nil {
			return err
		}
		return c.printRaw(b)
	}
	nodes := make([]*yaml.Node, len(items))
	for i, item := range items {
		var err error
		if nodes[i], err = toYAML(item); err != nil {
			return err
		}
	}
	return c.printRows(nodes, c.columns, members)
}

// printRows prints a table or CSV of the wanted members; without any, of those that are usual for a table.
func (c *cli) printRows(nodes []*yaml.Node, wanted, usual []string) error {
	members := wanted
	if len(members) == 0 {
		members = usual
		if c.output != asTable || len(usual) == 0 {
			members = allMembers(nodes, usual)
		}
	}
	rows := make([][]string, 0, len(nodes)+1)
	if !c.noHeaders {
		rows = append(rows, members)
	}
	for _, node := range nodes {
		row := make([]string, len(members))
		for i, name := range members {
			value := memberAt(node, name)
			switch {
			case c.output != asCSV:
				row[i] = cell(value)
			case value != nil && value.Kind == yaml.ScalarNode && value.Tag == "!!str":
				row[i] = value.Value
			case value != nil && value.Tag != "!!null":
				row[i] = cell(value)
			}
		}
		rows = append(rows, row)
	}
	if c.output == asCSV {
		w := csv.NewWriter(c.out)
		return w.WriteAll(rows)
	}
	width := c.width()
	if c.output == asWide {
		width = 0
	}
	return writeTable(c.out, rows, width)
}

// allMembers are the usual members and behind them whichever else there are, in the order in which they are met.
func allMembers(nodes []*yaml.Node, usual []string) []string {
	members := slices.Clone(usual)
	for _, node := range nodes {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if name := node.Content[i].Value; !slices.Contains(members, name) {
				members = append(members, name)
			}
		}
	}
	return members
}

// memberAt is the member at a path of names with dots between; a name that has dots itself is found too.
func memberAt(node *yaml.Node, path string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	if value := member(node, path); value != nil {
		return value
	}
	name, rest, ok := strings.Cut(path, ".")
	if !ok {
		return nil
	}
	return memberAt(member(node, name), rest)
}

func (c *cli) printRaw(v json.RawMessage) error {
	if c.output == asJSON {
		var b bytes.Buffer
		if err := json.Indent(&b, bytes.TrimSpace(v), "", "  "); err != nil {
			return err
		}
		_, err := fmt.Fprintln(c.out, b.String())
		return err
	}
	node, err := toYAML(v)
	if err != nil {
		return err
	}
	enc := yaml.NewEncoder(c.out)
	enc.SetIndent(2)
	if err := enc.Encode(node); err != nil {
		return err
	}
	return enc.Close()
}

func member(object *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(object.Content); i += 2 {
		if object.Content[i].Value == name {
			return object.Content[i+1]
		}
	}
	return nil
}

// cell is a value in a table: strings bare, objects and arrays as compact JSON.
func cell(n *yaml.Node) string {
	switch {
	case n == nil || n.Tag == "!!null":
		return "-"
	case n.Kind != yaml.ScalarNode:
		return string(appendJSON(nil, n))
	case n.Tag == "!!str" && strings.ContainsAny(n.Value, "\t\n\r"):
		return fmt.Sprintf("%q", n.Value)
	}
	return n.Value
}

func appendJSON(dst []byte, n *yaml.Node) []byte {
	switch n.Kind {
	case yaml.MappingNode:
		dst = append(dst, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSON(dst, n.Content[i]), ':')
			dst = appendJSON(dst, n.Content[i+1])
		}
		return append(dst, '}')
	case yaml.SequenceNode:
		dst = append(dst, '[')
		for i, e := range n.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	}
	if n.Tag != "!!str" {
		return append(dst, n.Value...)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(n.Value) // a string always encodes
	return append(dst, bytes.TrimSpace(b.Bytes())...)
}

// toYAML turns JSON into a YAML tree with the members in their order and the numbers as they were written.
func toYAML(v json.RawMessage) (*yaml.Node, error) {
	dec := json.NewDecoder(bytes.NewReader(v))
	dec.UseNumber()
	return nextNode(dec)
}

func nextNode(dec *json.Decoder) (*yaml.Node, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if t == '[' {
			n = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		}
		for dec.More() {
			e, err := nextNode(dec) // an object's tokens are key, value, key, value …
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, e)
		}
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
		_, err := dec.Token()
		return n, err
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(t.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: t.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(t)}, nil
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	case string:
		n := &yaml.Node{}
		n.SetString(t)
		return n, nil
	}
	return nil, fmt.Errorf("unexpected token %v", t)
}
