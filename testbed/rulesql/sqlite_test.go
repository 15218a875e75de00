package rulesql

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// columns are fields of the message and of the table. SQLite orders numbers before texts and calls no text true where our language
// converts, so that expressions keep to one type on both sides of an operator.
var columns = map[string]any{"i": 7, "j": -3, "z": 0, "f": 2.5, "g": -0.25, "s": "abc", "u": "aXc", "e": "", "n": nil}

// generator writes random expressions that mean the same in both languages.
type generator struct {
	r     *rand.Rand
	depth int
}

func (g *generator) pick(words ...string) string { return words[g.r.IntN(len(words))] }

// integers differ in division, which SQLite cuts off: the stock dialect does as well.
func (g *generator) integer() string {
	if g.depth--; g.depth < 0 {
		return g.pick("i", "j", "z", "n", "3", "0", "12")
	}
	switch g.r.IntN(6) {
	case 0:
		return "(" + g.integer() + g.pick(" + ", " - ", " * ", " / ", " % ") + g.integer() + ")"
	case 1:
		return "CASE WHEN " + g.condition() + " THEN " + g.integer() + " ELSE " + g.integer() + " END"
	case 2:
		return "CASE " + g.integer() + " WHEN " + g.integer() + " THEN 1 WHEN 3 THEN 2 ELSE 3 END"
	case 3:
		return "abs(" + g.integer() + ")"
	case 4:
		return "-(" + g.integer() + ")"
	}
	return g.pick("i", "j", "z", "n")
}

func (g *generator) float() string {
	if g.depth--; g.depth < 0 {
		return g.pick("f", "g", "1.5", "n")
	}
	switch g.r.IntN(3) {
	case 0:
		return "(" + g.float() + g.pick(" + ", " - ", " * ", " / ") + g.float() + ")"
	case 1:
		return "(" + g.integer() + g.pick(" + ", " * ") + g.float() + ")"
	}
	return g.pick("f", "g", "0.5")
}

func (g *generator) text() string {
	switch g.r.IntN(6) {
	case 0:
		return g.pick("lower", "upper") + "(" + g.pick("s", "u", "e", "'Q'") + ")"
	case 1:
		return "replace(s, " + g.pick("'b'", "'zz'", "'a'") + ", " + g.pick("'x'", "''") + ")"
	}
	return g.pick("s", "u", "e", "n", "'abc'", "'b'")
}

func (g *generator) condition() string {
	if g.depth--; g.depth < 0 {
		return g.pick("i > 3", "z = 0", "n = 1", "f < g")
	}
	switch g.r.IntN(9) {
	case 0:
		return "(" + g.condition() + g.pick(" AND ", " OR ") + g.condition() + ")"
	case 1:
		return g.integer() + g.pick(" = ", " <> ", " < ", " <= ", " > ", " >= ") + g.integer()
	case 2:
		return g.float() + g.pick(" < ", " > ", " = ") + g.float()
	case 3:
		return g.text() + g.pick(" = ", " <> ", " < ", " >= ") + g.text()
	case 4:
		return g.integer() + " IN (" + g.integer() + ", 3, " + g.integer() + ")"
	case 5:
		return g.text() + " LIKE " + g.pick("'a%'", "'%c'", "'_b_'", "'%'", "''", "'a%c%'")
	case 6:
		return g.integer() + g.pick(" < ", " >= ") + g.float()
	}
	return g.condition()
}

// full adds what only the second dialect has.
func (g *generator) full() string {
	switch g.r.IntN(6) {
	case 0:
		return "NOT (" + g.condition() + ")"
	case 1:
		return g.text() + g.pick(" IS NULL", " IS NOT NULL")
	case 2:
		return g.float() + g.pick(" BETWEEN ", " NOT BETWEEN ") + g.float() + " AND " + g.float()
	case 3:
		return g.text() + " NOT LIKE '%b%'"
	case 4:
		return g.text() + " NOT IN (" + g.text() + ", 'abc')"
	}
	return "coalesce(" + g.text() + ", " + g.text() + ") || " + g.text()
}

// TestAgreesWithSQLite runs random expressions in both.
func TestAgreesWithSQLite(t *testing.T) {
	db := openSQLite(t)
	raw, err := json.Marshal(columns)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := codec.Decode(raw, codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	defer doc.Release()
	env := &rulesql.Env{Topic: "/a", Payload: doc.Root(), Raw: raw}
	known := 0
	for seed := range uint64(4000) {
		g := &generator{r: rand.New(rand.NewPCG(seed, 1)), depth: 6}
		dialect, expr := rulesql.Stock, g.pick(g.integer(), g.float(), g.text(), g.condition())
		if seed%3 == 0 {
			dialect, expr = rulesql.Full, g.full()
			if strings.Contains(expr, "/") {
				continue // a quotient of integers stays whole in SQLite only
			}
		}
		want := sqlite(t, db, expr)
		got := ours(t, env, expr, dialect)
		if want == "null" && got == "" || same(got, want) {
			if want != "null" {
				known++
			}
			continue
		}
		t.Errorf("seed %d: %s is %s, in SQLite %s", seed, expr, got, want)
	}
	if known < 1000 {
		t.Errorf("only %d expressions have a value", known)
	}
}

func openSQLite(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	for _, q := range []string{"PRAGMA case_sensitive_like = ON", "CREATE TABLE m (i INTEGER, j INTEGER, z INTEGER, f REAL, g REAL, s TEXT, u TEXT, e TEXT, n)",
		"INSERT INTO m VALUES (7, -3, 0, 2.5, -0.25, 'abc', 'aXc', '', NULL)"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// sqlite is the value as JSON.
func sqlite(t *testing.T, db *sql.DB, expr string) string {
	t.Helper()
	var v any
	if err := db.QueryRow("SELECT " + expr + " FROM m").Scan(&v); err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return string(b)
}

// ours is the value as JSON; empty if it is missing.
func ours(t *testing.T, env *rulesql.Env, expr string, d rulesql.Dialect) string {
	t.Helper()
	q, err := rulesql.Parse("SELECT "+expr+" AS x FROM /a", d)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	p, err := rulesql.Compile(q, rulesql.Options{})
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	var rows rulesql.Rows
	if err := p.Select(env, &rows); err != nil {
		return "fault: " + err.Error()
	}
	var out struct{ X json.RawMessage }
	if err := json.Unmarshal(rows.Row(0), &out); err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return string(out.X)
}

// same compares two values; SQLite has 1 and 0 for true and false.
func same(got, want string) bool {
	switch got {
	case "true":
		got = "1"
	case "false":
		got = "0"
	}
	if got == want {
		return true
	}
	a, err1 := strconv.ParseFloat(got, 64)
	b, err2 := strconv.ParseFloat(want, 64)
	return err1 == nil && err2 == nil && fmt.Sprintf("%.12g", a) == fmt.Sprintf("%.12g", b)
}
