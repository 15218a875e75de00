package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"
)

// printOne prints one object: as it came in JSON or YAML, or a line a member.
func (c *cli) printOne(object json.RawMessage) error {
	switch c.output {
	case "json", "yaml":
		return c.printRaw(object)
	}
	node, err := toYAML(object)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	line := func(name string, value *yaml.Node) { fmt.Fprintf(w, "%s\t%s\n", name, cell(value)) }
	for _, name := range first {
		if value := member(node, name); value != nil {
			line(name, value)
		}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if name := node.Content[i].Value; !slices.Contains(first, name) {
			line(name, node.Content[i+1])
		}
	}
	return w.Flush()
}

// first are the members that a reader looks for, before all others.
var first = []string{"id", "productSN", "deviceSN", "name", "description", "kind", "state", "version", "revision", "key",
	"productSecret", "deviceSecret", "requestID", "identifier", "retCode", "message", "output"}

// printList prints objects: an array in JSON or YAML, or a table of the given members.
func (c *cli) printList(items []json.RawMessage, members ...string) error {
	switch c.output {
	case "json", "yaml":
		if items == nil {
			items = []json.RawMessage{}
		}
		b, err := json.Marshal(items)
		if err != nil {
			return err
		}
		return c.printRaw(b)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(members, "\t"))
	for _, item := range items {
		node, err := toYAML(item)
		if err != nil {
			return err
		}
		cells := make([]string, len(members))
		for i, name := range members {
			cells[i] = cell(member(node, name))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

func (c *cli) printRaw(v json.RawMessage) error {
	if c.output == "json" {
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
