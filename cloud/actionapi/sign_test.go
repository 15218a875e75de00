package actionapi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/credential"
)

// TestSignatures holds vectors that were reckoned with sha1sum, each with the command, for other implementations to use.
func TestSignatures(t *testing.T) {
	files, err := filepath.Glob("testdata/signature/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("vectors: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			v := vector(t, file)
			private := credential.Secret(v["private"])
			forms := map[string]func() (*params, error){"body": func() (*params, error) { return parseJSON([]byte(v["body"])) }}
			if v["query"] != "-" {
				forms["query"] = func() (*params, error) { return parseQuery(v["query"]) }
			}
			for form, parse := range forms {
				p, err := parse()
				if err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				p.values["Signature"] = v["signature"]
				if !p.signed(private) {
					t.Errorf("%s: %s is refused, want it taken", form, v["signature"])
				}
				if p.signed(private + "x") {
					t.Errorf("%s: taken under another key", form)
				}
				p.values["Action"] += "x"
				if p.signed(private) {
					t.Errorf("%s: taken for another action", form)
				}
			}
		})
	}
}

// vector reads lines of "name value".
func vector(t *testing.T, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && name != "#" {
			v[name] = value
		}
	}
	return v
}
