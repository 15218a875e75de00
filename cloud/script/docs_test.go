package script_test

import (
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/script"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

var example = regexp.MustCompile("(?s)```js\n(.*?)```\n\n    (.*?)\n    (.*?)\n")

// TestDocumented runs the examples of the documentation.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/parse-scripts.md")
	if err != nil {
		t.Fatal(err)
	}
	n := start(t, brokertest.Config{Store: storetest.SQLite(t)}, nil)
	p := n.Product(t, registry.NewProduct{}).SN
	examples := example.FindAllStringSubmatch(string(b), -1)
	if len(examples) != strings.Count(string(b), "```js") || len(examples) < 5 {
		t.Fatalf("%d examples", len(examples))
	}
	digits := func(s string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, e := range examples {
		source, in, want := e[1], e[2], e[3]
		trial := script.Trial{Source: &source, Topic: "/p/d/upload", Down: strings.Contains(source, "jsonToRawData"), Payload: []byte(in)}
		if trial.Down {
			want = string(digits(want))
		} else {
			trial.Payload = digits(in)
		}
		o, err := n.Try(t.Context(), p, trial)
		if err != nil || o.Fault != nil || string(o.Result) != want {
			t.Errorf("%s\ngave %q, %v, %v, want %q", source, o.Result, o.Fault, err, want)
		}
	}
}
