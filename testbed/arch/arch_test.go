package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/hawser-iot/hawser"

type pkg struct {
	ImportPath, Name, Doc string
	Imports, Deps         []string
	GoFiles               []string
}

// load lists the module's packages as the go command sees them.
func load(t *testing.T, args ...string) []pkg {
	t.Helper()
	touch(t)
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Name,Doc,Imports,Deps,GoFiles"}, args...)...)
	cmd.Dir = "../.."
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errs.String())
	}
	var ps []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

// touch looks at every Go file, so that the go command knows that these tests hang on them: what go list reads it does not see, and would answer
// from its cache.
func touch(t *testing.T) {
	t.Helper()
	for _, root := range []string{"cloud", "cmd", "device-sdk", "edge-agent", "firmware", "protocol", "testbed"} {
		err := filepath.WalkDir(filepath.Join("../..", root), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata"):
				return filepath.SkipDir
			case strings.HasSuffix(path, ".go"):
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func rel(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, modulePath), "/") }

func floorOf(path string) (floor, bool) {
	for _, f := range floors {
		if under(path, f.prefix) {
			return f, true
		}
	}
	return floor{}, false
}

func TestImportsGoDownward(t *testing.T) {
	for _, p := range load(t, "./...") {
		from := rel(p.ImportPath)
		f, ok := floorOf(from)
		if !ok {
			t.Errorf("%s stands in no room of the plan; give it one in rules_test.go and docs/architecture.md", from)
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, modulePath+"/") {
				continue
			}
			if to := rel(imp); !allowed(f, from, to) {
				t.Errorf("%s imports %s: %s", from, to, f.why)
			}
		}
	}
}

// allowed reports whether from, which lives on f, may import to.
func allowed(f floor, from, to string) bool {
	if under(to, f.prefix) {
		return !f.alone || under(from, to) || under(to, from)
	}
	return slices.ContainsFunc(f.may, func(m string) bool { return under(to, m) })
}

func TestDriversHaveOneImporter(t *testing.T) {
	for _, p := range load(t, "./...") {
		from := rel(p.ImportPath)
		if under(from, "testbed") {
			continue // the testbed plays the other side with the same drivers
		}
		for _, imp := range p.Imports {
			for driver, owners := range drivers {
				if strings.HasPrefix(imp, driver) && !slices.ContainsFunc(owners, func(o string) bool { return under(from, o) }) {
					t.Errorf("%s imports %s, which belongs to %v", from, imp, owners)
				}
			}
		}
	}
}

func TestAgentStaysSmall(t *testing.T) {
	forbid(t, load(t, "./cmd/agent"), forbiddenInAgent)
	forbid(t, load(t, "-tags=core", "./cmd/agent"), forbiddenInCore)
}

func forbid(t *testing.T, list []pkg, forbidden []string) {
	t.Helper()
	for _, p := range list {
		for _, dep := range p.Deps {
			for _, no := range forbidden {
				if strings.HasPrefix(dep, no) {
					t.Errorf("the agent's binary contains %s", dep)
				}
			}
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	for _, p := range load(t, "./...") {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", rel(p.ImportPath))
		}
	}
}

func TestHyphenedFoldersHoldNoGo(t *testing.T) {
	for _, p := range load(t, "./...") {
		if r := rel(p.ImportPath); r == "device-sdk" || r == "edge-agent" || r == "cloud" || r == "protocol" || r == "" {
			t.Errorf("%q holds .go files; packages live one level below", r)
		}
	}
}
