package rulesql

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
)

const docsPage = "../../docs/rules.md"

var (
	docsRow      = regexp.MustCompile("^\\| `([a-zA-Z0-9_]+)\\(.*` → `(.*)` \\|$")
	docsExample  = regexp.MustCompile("\\| `([^`]+)` → `([^`]+)` \\|$")
	docsOperator = regexp.MustCompile("^\\| `([^`]+)` \\| `([^`]+)` \\|$")
	docsQuery    = regexp.MustCompile("(?s)```sql\n(.*?)\n```\n```result\n(.*?)\n```")
	docsMessage  = regexp.MustCompile("(?s)```json\n(.*?)\n```")
)

func readDocs(t *testing.T) (page string, e *Env) {
	t.Helper()
	b, err := os.ReadFile(docsPage)
	if err != nil {
		t.Fatal(err)
	}
	page = string(b)
	raw := []byte(docsMessage.FindStringSubmatch(page)[1])
	doc, err := codec.Decode(raw, codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	e = testEnv("/70ly1tvowt696r15/cellar-1/upload", raw, doc.Root())
	e.Device = ident.Device{Product: "70ly1tvowt696r15", SN: "cellar-1"}
	return page, e
}

// docsOwner has what the page says of the hub. Its jq knows the one filter that the page shows; cloud/rules/jq tests them.
func docsOwner() Owner {
	o := testOwner(`{"State":{"Reported":{"mode":"eco"}}}`, `{"limit":20}`)
	o.Filter = func(source string) (func(any) (any, bool, error), error) {
		if source != "[.sensors[] | .v] | add" {
			return nil, fmt.Errorf("another filter: %s", source)
		}
		return func(in any) (any, bool, error) {
			sum := int64(0)
			for _, s := range in.(map[string]any)["sensors"].([]any) {
				sum += s.(map[string]any)["v"].(int64)
			}
			return sum, true, nil
		}, nil
	}
	return o
}

// rowsOf are the results of a query.
func rowsOf(e *Env, sql string) (string, error) {
	q, err := Parse(sql, Full)
	if err != nil {
		return "", err
	}
	p, err := Compile(q, Options{Owner: docsOwner()})
	if err != nil {
		return "", err
	}
	e.shadow = nil
	rows, err := evaluate(p, e)
	var lines []string
	for i := range rows.Len() {
		lines = append(lines, string(rows.Row(i)))
	}
	return strings.Join(lines, "\n"), err
}

// Every example of the page gives what the page says.
func TestDocsExamples(t *testing.T) {
	page, e := readDocs(t)
	n := 0
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		m := docsExample.FindStringSubmatch(line)
		if m == nil {
			m = docsOperator.FindStringSubmatch(line)
		}
		if m == nil {
			continue
		}
		n++
		expr, want := strings.ReplaceAll(m[1], `\|`, "|"), strings.ReplaceAll(m[2], `\|`, "|")
		if got, err := rowsOf(e, "SELECT "+expr+" AS x FROM /a"); err != nil || got != `{"x":`+want+`}` {
			t.Errorf("%s: %s, %v, want %s", expr, got, err, want)
		}
	}
	for _, m := range docsQuery.FindAllStringSubmatch(page, -1) {
		n++
		if got, err := rowsOf(e, m[1]); err != nil || got != m[2] {
			t.Errorf("%s\n%s, %v, want\n%s", m[1], got, err, m[2])
		}
	}
	if n < len(FunctionNames(Full)) {
		t.Errorf("%d examples for %d functions", n, len(FunctionNames(Full)))
	}
}

// Every function is on the page, with the dialects and data types that it is for.
func TestDocsFunctions(t *testing.T) {
	page, _ := readDocs(t)
	listed := map[string]string{}
	for line := range strings.Lines(page) {
		if m := docsRow.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			if listed[m[1]] != "" {
				t.Errorf("%s is listed twice", m[1])
			}
			cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| `"), " |")
			_, marks, _ := strings.Cut(cell, "`")
			listed[m[1]] = marks + " "
		}
	}
	for name, f := range functions() {
		marks, ok := listed[name]
		if !ok {
			t.Errorf("%s is not listed", name)
			continue
		}
		for mark, trait := range map[string]traits{" 1 ": stock, " b ": binary, " * ": star} {
			if strings.Contains(marks, mark) != (f.is&trait != 0) {
				t.Errorf("%s: mark %q", name, mark)
			}
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("there is no function %s", name)
	}
}
