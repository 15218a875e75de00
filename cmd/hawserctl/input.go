package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// readFile reads a file, or standard input for "-".
func (c *cli) readFile(name string) ([]byte, error) {
	if name == "-" {
		b, err := io.ReadAll(c.in)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return b, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, usageError{err}
	}
	return b, nil
}

// object makes a JSON object of arguments: one JSON object, "-" for one on standard input, or key=value pairs. A
// value that is JSON is taken as such, everything else as a string.
func (c *cli) object(args []string) (json.RawMessage, error) {
	if len(args) == 1 && args[0] == "-" {
		b, err := c.readFile("-")
		if err != nil {
			return nil, err
		}
		return checkObject(b)
	}
	if len(args) == 1 && strings.HasPrefix(strings.TrimSpace(args[0]), "{") {
		return checkObject([]byte(args[0]))
	}
	b := []byte{'{'}
	for i, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, usageError{fmt.Errorf("%q is neither a JSON object nor key=value", arg)}
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, quote(key)...), ':')
		if json.Valid([]byte(value)) {
			b = append(b, value...)
		} else {
			b = append(b, quote(value)...)
		}
	}
	return append(b, '}'), nil
}

func quote(s string) []byte {
	b, _ := json.Marshal(s) // a string always encodes
	return b
}

func checkObject(b []byte) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil || members == nil {
		if err == nil {
			err = fmt.Errorf("it is null")
		}
		return nil, usageError{fmt.Errorf("not a JSON object: %w", err)}
	}
	return b, nil
}

// seconds checks a --timeout.
func seconds(d time.Duration) (float64, error) {
	if d <= 0 || d > time.Minute {
		return 0, usageError{fmt.Errorf("--timeout %v: must be more than 0 and at most 1m", d)}
	}
	return d.Seconds(), nil
}
