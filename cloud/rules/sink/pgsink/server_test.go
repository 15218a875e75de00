package pgsink

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// fixed is a connector that does not change.
type fixed struct{ conn rules.Connection }

func (f fixed) Use(use func(rules.Connection) error) error { return use(f.conn) }
func (fixed) Info() (string, json.RawMessage)              { return "plant", nil }

func connect(t testing.TB, config map[string]any) *Conn {
	t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Connector().Open(raw, outbound.New(outbound.Options{AllowLocal: true}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // nothing is in it
	return c.(*Conn)
}

func sinkOn(t testing.TB, c *Conn, config string) *Sink {
	t.Helper()
	s, err := New(json.RawMessage(config), rules.Env{Connector: func(kind, id string) (rules.Handle, error) {
		if kind != Kind || id != "7" {
			return nil, fmt.Errorf("asked for %s %s", kind, id)
		}
		return fixed{c}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s.(*Sink)
}

var origin = rules.Record{Action: 5, MessageID: 100, Device: ident.Device{Product: "0123456789abcdef", SN: "dev1"}, Topic: "/0123456789abcdef/dev1/up",
	Time: time.UnixMilli(1764000000123).UTC()}

func records(results ...string) []rules.Record {
	list := make([]rules.Record, len(results))
	for i, s := range results {
		list[i] = origin
		list[i].MessageID += message.ID(i)
		list[i].Result = []byte(s)
	}
	return list
}

func TestServer(t *testing.T) {
	m := harness.StartPostgresServer(t)
	m.Query(`ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO hawser`)
	c := connect(t, m.Config())
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("types", func(t *testing.T) { testTypes(t, m, c) })
	t.Run("64 bits", func(t *testing.T) { test64Bits(t, m, c) })
	t.Run("hostile", func(t *testing.T) { testHostile(t, m, c) })
	t.Run("key", func(t *testing.T) { testKey(t, m, c) })
	t.Run("update", func(t *testing.T) { testUpdate(t, m, c) })
	t.Run("statement", func(t *testing.T) { testStatement(t, m, c) })
	t.Run("refused", func(t *testing.T) { testRefused(t, m, c) })
	t.Run("policies", func(t *testing.T) { testPolicies(t, m, c) })
	t.Run("stale", func(t *testing.T) { testStale(t, m) })
	t.Run("away", func(t *testing.T) { testAway(t, m, c) })
	t.Run("altered", func(t *testing.T) { testAltered(t, m, c) })
	t.Run("deadlock", func(t *testing.T) { testDeadlock(t, m, c) })
	t.Run("gone", func(t *testing.T) { testGone(t, m, c) })
}

func send(t *testing.T, s *Sink, results ...string) {
	t.Helper()
	if err := s.Send(t.Context(), records(results...)); err != nil {
		t.Fatal(err)
	}
}

func testTypes(t *testing.T, m *harness.PostgresServer, c *Conn) {
	m.Query(`CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
		CREATE DOMAIN label AS varchar(5)`)
	const columns = `(id BIGINT %s, i INT, f REAL, d NUMERIC(10,3), b BOOLEAN, s VARCHAR(100), x TEXT, j JSONB, js JSON, t TIMESTAMP(3), ts TIMESTAMPTZ, day DATE, raw BYTEA, n SMALLINT,
		e mood, p percent, l label, u UUID, c CHAR(3), a INT[])`
	m.Query(fmt.Sprintf(`CREATE TABLE keyed_types `+columns, "PRIMARY KEY"))
	m.Query(fmt.Sprintf(`CREATE TABLE types `+columns, ""))
	for table, key := range map[string]string{"types": "", "keyed_types": `"key":"id",`} {
		s := sinkOn(t, c, `{"connector":"7","table":"`+table+`",`+key+`"columns":{"id":"${messageID}","i":"${i}","f":"${f}","d":"${f}","b":"${b}","s":"${s}","x":"${o}","j":"${o}","js":"${s}",
			"t":"${timestamp}","ts":"${at}","day":"${at}","raw":"${s}","n":7,"e":"${e}","p":"${i}","l":"${s}","u":"${u}","c":"${c}","a":"${list}"}}`)
		send(t, s, `{"i":42,"f":21.5,"b":true,"s":"a\\b","o":{"a":[1,"x"]},"at":"2026-11-27T12:34:56.789+02:00","e":"bad","u":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","list":"{1,2}","c":"xyz"}`,
			`{"i":null,"b":false,"s":true,"at":1764000000000}`, `{"i":"7","f":3,"s":7}`)
		got := m.Query(`SELECT id, i, f, d, b, s, x, j, js, t, ts AT TIME ZONE 'UTC', day, raw, n, e, p, l, u, c, a FROM ` + table + ` ORDER BY id`)
		want := "100\t42\t21.5\t21.500\tt\ta\\b\t{\"a\":[1,\"x\"]}\t{\"a\": [1, \"x\"]}\t\"a\\\\b\"\t2025-11-24 16:00:00.123\t2026-11-27 10:34:56.789\t2026-11-27\t\\x615c62\t7\tbad\t42\ta\\b\t6ba7b810-9dad-11d1-80b4-00c04fd430c8\txyz\t{1,2}\n" +
			"101\t\t\t\tf\ttrue\t\t\ttrue\t2025-11-24 16:00:00.123\t2025-11-24 16:00:00\t2025-11-24\t\\x74727565\t7\t\t\ttrue\t\t\t\n" +
			"102\t7\t3\t3.000\t\t7\t\t\t7\t2025-11-24 16:00:00.123\t\t\t\\x37\t7\t\t7\t7\t\t\t"
		if got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", table, got, want)
		}
	}
}

// A number that only a NUMERIC has room for arrives with all of its digits.
func test64Bits(t *testing.T, m *harness.PostgresServer, c *Conn) {
	m.Query(`CREATE TABLE bits (k BIGINT UNIQUE, d NUMERIC, s TEXT, j JSONB, f FLOAT8, i BIGINT)`)
	for _, key := range []string{"", `"key":"k",`} {
		s := sinkOn(t, c, `{"connector":"7","table":"bits",`+key+`"columns":{"k":"${k}","d":"${n}","s":"${n}","j":"${n}","f":"${n}"}}`)
		send(t, s, `{"n":18446744073709551615}`)
		small := sinkOn(t, c, `{"connector":"7","table":"bits",`+key+`"columns":{"k":"${k}","i":"${n}"}}`)
		if err := small.Send(t.Context(), records(`{"n":18446744073709551615}`)); !errors.Is(err, rules.ErrPermanent) {
			t.Errorf("where it has no room: %v", err)
		}
	}
	const row = "18446744073709551615\t18446744073709551615\t18446744073709551615\t1.8446744073709552e+19"
	if got := m.Query(`SELECT d, s, j, f FROM bits`); got != row+"\n"+row {
		t.Errorf("got %s", got)
	}
}

// hostile are texts that would break statements, or lines of COPY, that are put together of text.
func hostile() []string {
	return []string{`'; DROP TABLE hostile; -- `, `"`, "`", `\`, `\'`, `\.`, `\N`, `$1 ${x} $$`, "\x1a\x08\n\r\t", "a\tb\nc\\nd", "😀 naïve 日本語", `{"a":1}`, "", " ",
		strings.Repeat("x'\\\"\n", 50_000), "\u2028\u202e\ufeff"}
}

func testHostile(t *testing.T, m *harness.PostgresServer, c *Conn) {
	for table, key := range map[string]string{`h"1`: "", `h"2`: `"key":["id"],`} {
		m.Query(`CREATE TABLE "` + strings.ReplaceAll(table, `"`, `""`) + `" (id BIGINT PRIMARY KEY, "a ""b'c$1" TEXT, j JSONB)`)
		quoted, _ := json.Marshal(table)
		s := sinkOn(t, c, `{"connector":"7","table":`+string(quoted)+`,`+key+`"columns":{"id":"${messageID}","a \"b'c$1":"${s}","j":"${s}"}}`)
		var results []string
		for _, text := range hostile() {
			b, _ := json.Marshal(map[string]string{"s": text})
			results = append(results, string(b))
		}
		send(t, s, results...)
		rows, err := c.pool.Query(t.Context(), `SELECT "a ""b'c$1", j #>> '{}' FROM "`+strings.ReplaceAll(table, `"`, `""`)+`" ORDER BY id`)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range hostile() {
			var got, j string
			if !rows.Next() {
				t.Fatal("rows are missing")
			}
			if err := rows.Scan(&got, &j); err != nil || got != want || j != want {
				t.Errorf("%s: got %.60q and %.60q, want %.60q (%v)", table, got, j, want, err)
			}
		}
		rows.Close()
		// No text of PostgreSQL has a NUL in it: the record is refused, not the batch's others.
		if err := s.Send(t.Context(), records(`{"s":"a\u0000b"}`)); !errors.Is(err, rules.ErrPermanent) {
			t.Errorf("NUL: %v", err)
		}
	}
}

func testKey(t *testing.T, m *harness.PostgresServer, c *Conn) {
	m.Query(`CREATE TABLE keyed (id TEXT PRIMARY KEY, n INT)`)
	s := sinkOn(t, c, `{"connector":"7","table":"keyed","key":"id","columns":{"id":"${recordKey}","n":"${n}"}}`)
	send(t, s, `{"n":1}`, `{"n":2}`)
	send(t, s, `{"n":11}`, `{"n":12}`, `{"n":3}`)
	if got := m.Query(`SELECT id, n FROM keyed ORDER BY id`); got != "100:5\t1\n101:5\t2\n102:5\t3" {
		t.Errorf("got\n%s", got)
	}
	// Without a unique index there is no key: that is the table's fault, which an operator can put right.
	m.Query(`CREATE TABLE unkeyed (id TEXT, n INT)`)
	u := sinkOn(t, c, `{"connector":"7","table":"public.unkeyed","key":"id","columns":{"id":"${recordKey}","n":"${n}"}}`)
	if err := u.Send(t.Context(), records(`{"n":1}`)); !errors.Is(err, rules.ErrUnavailable) {
		t.Errorf("no index: %v", err)
	}
	m.Query(`CREATE UNIQUE INDEX unkeyed_id ON unkeyed (id)`)
	send(t, u, `{"n":1}`)
}

func testUpdate(t *testing.T, m *harness.PostgresServer, c *Conn) {
	m.Query(`CREATE TABLE latest (product TEXT, device TEXT, n INT, t TIMESTAMPTZ, UNIQUE (device, product))`)
	s := sinkOn(t, c, `{"connector":"7","table":"latest","key":["product","device"],"onConflict":"update","columns":{"product":"${productSN}","device":"${deviceSN}","n":"${n}","t":"${timestamp}"}}`)
	send(t, s, `{"n":1}`, `{"n":2}`, `{"n":3}`)
	if got := m.Query(`SELECT device, n FROM latest`); got != "dev1\t3" {
		t.Errorf("got %s", got)
	}
	send(t, s, `{"n":4}`)
	if got := m.Query(`SELECT device, n FROM latest`); got != "dev1\t4" {
		t.Errorf("got %s", got)
	}
	// Rows without the key update nothing, each other neither.
	m.Query(`CREATE TABLE keyless (device TEXT UNIQUE, n INT)`)
	u := sinkOn(t, c, `{"connector":"7","table":"keyless","key":"device","onConflict":"update","columns":{"device":"${d}","n":"${n}"}}`)
	send(t, u, `{"n":1}`, `{"n":2,"d":"x"}`, `{"n":3}`, `{"n":4,"d":"x"}`)
	if got := m.Query(`SELECT n FROM keyless ORDER BY n`); got != "1\n3\n4" {
		t.Errorf("got %q", got)
	}
}

// A table whose rows are guarded by policies, and a view, take no COPY, but INSERTs. What a policy refuses is the record's fault.
func testPolicies(t *testing.T, m *harness.PostgresServer, c *Conn) {
	m.Query(`CREATE TABLE guarded (id BIGINT, n INT); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY small ON guarded USING (true) WITH CHECK (n < 100);
		CREATE TABLE base (id BIGINT, n INT); CREATE VIEW seen AS SELECT * FROM base`)
	for table, from := range map[string]string{"guarded": "guarded", "seen": "base"} {
		s := sinkOn(t, c, `{"connector":"7","table":"`+table+`","columns":{"id":"${messageID}","n":"${n}"}}`)
		for range 2 {
			send(t, s, `{"n":1}`, `{"n":2}`)
		}
		if got := m.Query(`SELECT n FROM ` + from + ` ORDER BY n`); got != "1\n1\n2\n2" {
			t.Errorf("%s: got %q", table, got)
		}
		if err := s.Send(t.Context(), records(`{"n":3}`, `{"n":1000}`)); table == "guarded" && (!errors.Is(err, rules.ErrPermanent) || errors.Is(err, rules.ErrUnavailable)) {
			t.Errorf("%s, against the policy: %v", table, err)
		}
	}
}

func testStatement(t *testing.T, m *harness.PostgresServer, c *Conn) {
	m.Query(`CREATE TABLE counts (device TEXT PRIMARY KEY, n INT NOT NULL, last JSONB, at TIMESTAMPTZ)`)
	s := sinkOn(t, c, `{"connector":"7","statement":"INSERT INTO counts (device, n, last, at) VALUES ('d-' || ${deviceSN}, ${n}, ${o}, ${timestamp}) ON CONFLICT (device) DO UPDATE SET n = counts.n + EXCLUDED.n, last = EXCLUDED.last"}`)
	send(t, s, `{"n":1,"o":{"a":1}}`, `{"n":2,"o":{"a":"';--"}}`)
	if got := m.Query(`SELECT device, n, last, at AT TIME ZONE 'UTC' FROM counts`); got != `d-dev1`+"\t3\t"+`{"a": "';--"}`+"\t2025-11-24 16:00:00.123" {
		t.Errorf("got %s", got)
	}
	// A batch is whole or not there.
	if err := s.Send(t.Context(), records(`{"n":10}`, `{"n":null}`)); !errors.Is(err, rules.ErrPermanent) {
		t.Errorf("a bad one of two: %v", err)
	}
	if err := s.Send(t.Context(), records(`{"n":10}`, `{"n":"x"}`)); !errors.Is(err, rules.ErrPermanent) || !strings.Contains(err.Error(), "${n}") {
		t.Errorf("a text for a number: %v", err)
	}
	if got := m.Query(`SELECT n FROM counts`); got != "3" {
		t.Errorf("half a batch is there: %s", got)
	}
}

func testRefused(t *testing.T, m *harness.PostgresServer, c *Conn) {
	m.Query(`CREATE TABLE parent (id INT PRIMARY KEY)`)
	m.Query(`CREATE FUNCTION not99() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.i = 99 THEN RAISE EXCEPTION ''not 99''; END IF; RETURN NEW; END'`)
	for table, key := range map[string]string{"strict": "", "strict_keyed": `"key":"k",`} {
		m.Query(`CREATE TABLE ` + table + ` (k INT UNIQUE, id BIGINT PRIMARY KEY, i SMALLINT NOT NULL, s VARCHAR(3), d DATE, p INT REFERENCES parent, e mood, c INT CHECK (c > 0), j JSONB, u INT UNIQUE, f REAL, b BOOLEAN)`)
		m.Query(`CREATE TRIGGER ` + table + ` BEFORE INSERT ON ` + table + ` FOR EACH ROW EXECUTE FUNCTION not99()`)
		s := sinkOn(t, c, `{"connector":"7","table":"`+table+`",`+key+`"columns":{"k":"${k}","id":"${id}","i":"${i}","s":"${s}","d":"${d}","p":"${p}","e":"${e}","c":"${c}","j":"${j}","u":"${u}","f":"${f}","b":"${b}"}}`)
		send(t, s, `{"id":1,"i":1,"u":7,"b":"yes"}`)
		for name, result := range map[string]string{
			"null": `{"id":2}`, "out of range": `{"id":2,"i":100000}`, "not a number": `{"id":2,"i":"x"}`, "a fraction": `{"id":2,"i":1.5}`, "too long": `{"id":2,"i":1,"s":"long"}`,
			"no date": `{"id":2,"i":1,"d":"yesterday"}`, "foreign key": `{"id":2,"i":1,"p":7}`, "enum": `{"id":2,"i":1,"e":"c"}`, "check": `{"id":2,"i":1,"c":-1}`,
			"duplicate": `{"id":1,"i":1}`, "another index": `{"id":2,"i":1,"u":7}`, "trigger": `{"id":2,"i":99}`, "an object for a number": `{"id":2,"i":{"a":1}}`,
			"a huge number": `{"id":2,"i":1,"f":1e300}`, "no boolean": `{"id":2,"i":1,"b":"maybe"}`, "a bool for a number": `{"id":2,"i":true}`,
		} {
			if err := s.Send(t.Context(), records(result)); !errors.Is(err, rules.ErrPermanent) {
				t.Errorf("%s, %s: %v", table, name, err)
			}
		}
		if err := s.Send(t.Context(), records(`{"id":3,"i":1}`, `{"id":4}`)); !errors.Is(err, rules.ErrPermanent) {
			t.Errorf("%s, a bad one of two: %v", table, err)
		}
		if got := m.Query(`SELECT id FROM ` + table); got != "1" {
			t.Errorf("%s: there are %s", table, got)
		}
	}
	for name, config := range map[string]string{
		"unknown column":         `{"connector":"7","table":"strict","columns":{"nosuch":"${id}"}}`,
		"syntax":                 `{"connector":"7","statement":"INSERT INTRO strict VALUES (${id})"}`,
		"column of a statement":  `{"connector":"7","statement":"INSERT INTO strict (nosuch) VALUES (${id})"}`,
		"missing, which it must": `{"connector":"7","table":"strict","columns":{"i":"${nosuch}"},"missing":"refuse"}`,
	} {
		if err := sinkOn(t, c, config).Send(t.Context(), records(`{"id":9}`)); !errors.Is(err, rules.ErrPermanent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

const awayTable = `CREATE TABLE away (id BIGINT PRIMARY KEY, n INT)`

// What an operator can put right waits, and arrives when it is put right.
func testAway(t *testing.T, m *harness.PostgresServer, c *Conn) {
	m.Query(awayTable)
	m.Query(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END'`)
	const config = `{"connector":"7","table":"away","key":"id","columns":{"id":"${messageID}","n":"${n}"},"timeoutSeconds":2}`
	s := sinkOn(t, c, config)
	send(t, s, `{"n":0}`)
	unlock := func() {}
	for name, tt := range map[string]struct{ begin, end func() }{
		"no table": {func() { m.Query("DROP TABLE away") }, func() { m.Query(awayTable) }},
		"read only": {func() { m.Exec("ALTER DATABASE plant SET default_transaction_read_only = on") },
			func() { m.Exec("ALTER DATABASE plant RESET default_transaction_read_only") }},
		"no right":       {func() { m.Query("REVOKE ALL ON away FROM hawser") }, func() { m.Query("GRANT ALL ON away TO hawser") }},
		"wrong password": {func() { m.Exec("ALTER USER hawser PASSWORD 'other'") }, func() { m.Exec("ALTER USER hawser PASSWORD 's3cret, not ''shown'''") }},
		"may not log in": {func() { m.Exec("ALTER USER hawser NOLOGIN") }, func() { m.Exec("ALTER USER hawser LOGIN") }},
		"too many":       {func() { m.Exec("ALTER USER hawser CONNECTION LIMIT 0") }, func() { m.Exec("ALTER USER hawser CONNECTION LIMIT -1") }},
		"too long": {func() {
			m.Exec("ALTER ROLE hawser SET statement_timeout = '100ms'")
			m.Query("CREATE TRIGGER slow BEFORE INSERT ON away FOR EACH ROW EXECUTE FUNCTION slow()")
		}, func() { m.Exec("ALTER ROLE hawser RESET statement_timeout"); m.Query("DROP TRIGGER slow ON away") }},
		"locked": {func() { m.Exec("ALTER ROLE hawser SET lock_timeout = '100ms'"); unlock = lock(t, m) },
			func() { m.Exec("ALTER ROLE hawser RESET lock_timeout"); unlock() }},
	} {
		t.Run(name, func(t *testing.T) {
			tt.begin()
			fresh := connect(t, m.Config()) // a login too, which is where some of it shows
			for _, on := range []*Sink{s, sinkOn(t, fresh, config)} {
				err := on.Send(t.Context(), records(`{"n":1}`, `{"n":2}`))
				if err == nil && on == s { // old connections do not always feel it
					continue
				}
				if !errors.Is(err, rules.ErrUnavailable) || errors.Is(err, rules.ErrPermanent) {
					t.Errorf("broken: %v", err)
				}
			}
			tt.end()
			send(t, s, `{"n":1}`, `{"n":2}`)
		})
	}
}

// Behind a pooler the server's prepared statements are not those that the client has made.
func testStale(t *testing.T, m *harness.PostgresServer) {
	m.Query(`CREATE TABLE stale (id BIGINT UNIQUE, n INT)`)
	config := m.Config()
	config["maxConnections"] = 1
	c := connect(t, config)
	for name, shape := range map[string]string{"statement": `"statement":"INSERT INTO stale (id, n) VALUES (${id}, ${n})"`,
		"key": `"table":"stale","key":"id","columns":{"id":"${id}","n":"${n}"}`} {
		t.Run(name, func(t *testing.T) {
			m.Query(`TRUNCATE stale`)
			s := sinkOn(t, c, `{"connector":"7",`+shape+`}`)
			send(t, s, `{"id":1}`)
			if _, err := c.pool.Exec(t.Context(), `DEALLOCATE ALL`); err != nil {
				t.Fatal(err)
			}
			send(t, s, `{"id":2}`)
			rows, err := c.pool.Query(t.Context(), `SELECT name FROM pg_prepared_statements`)
			if err != nil {
				t.Fatal(err)
			}
			names, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil || len(names) == 0 {
				t.Fatalf("prepared statements %v, %v", names, err)
			}
			c.pool.Reset() // the next one has them of somebody else
			for _, name := range names {
				if _, err := c.pool.Exec(t.Context(), `PREPARE "`+name+`" AS SELECT 1`, pgx.QueryExecModeSimpleProtocol); err != nil {
					t.Fatal(err)
				}
			}
			send(t, s, `{"id":3}`)
			if got := m.Query(`SELECT id FROM stale ORDER BY id`); got != "1\n2\n3" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// lock keeps the table away locked until what it returns is called.
func lock(t *testing.T, m *harness.PostgresServer) func() {
	t.Helper()
	config := m.Config()
	config["user"], config["password"] = "root", "root"
	tx, err := connect(t, config).pool.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `LOCK TABLE away`)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback(t.Context()) }
}

// A table that is altered is looked at anew.
func testAltered(t *testing.T, m *harness.PostgresServer, c *Conn) {
	m.Query(`CREATE TABLE altered (id TEXT PRIMARY KEY, at BIGINT)`)
	s := sinkOn(t, c, `{"connector":"7","table":"altered","key":"id","columns":{"id":"${recordKey}","at":"${timestamp}","more":"${n}"}}`)
	if err := s.Send(t.Context(), records(`{"n":1}`)); !errors.Is(err, rules.ErrPermanent) {
		t.Errorf("without the column: %v", err)
	}
	m.Query(`ALTER TABLE altered ADD COLUMN more INT`)
	send(t, s, `{"n":1}`)
	m.Query(`ALTER TABLE altered ALTER COLUMN at TYPE TIMESTAMPTZ USING to_timestamp(at / 1000.0), ALTER COLUMN more TYPE TEXT`)
	if err := s.Send(t.Context(), records(`{"n":1}`, `{"n":2}`)); err != nil && !errors.Is(err, rules.ErrPermanent) {
		t.Errorf("altered: %v", err)
	}
	send(t, s, `{"n":1}`, `{"n":2}`)
	if got := m.Query(`SELECT DISTINCT at AT TIME ZONE 'UTC' FROM altered`); got != "2025-11-24 16:00:00.123" {
		t.Errorf("got %s", got)
	}
}

// Batches that lock the same rows in other orders meet each other, and all arrive.
func testDeadlock(t *testing.T, m *harness.PostgresServer, c *Conn) {
	m.Exec(`ALTER SYSTEM SET deadlock_timeout = '10ms'`)
	m.Exec(`SELECT pg_reload_conf()`)
	m.Query(`CREATE TABLE dead (id INT PRIMARY KEY, n INT NOT NULL)`)
	s := sinkOn(t, c, `{"connector":"7","statement":"INSERT INTO dead (id, n) VALUES (${id}, 1) ON CONFLICT (id) DO UPDATE SET n = dead.n + 1"}`)
	const workers, rounds, rows = 6, 10, 8
	fail := make(chan error, workers)
	for w := range workers {
		go func() {
			var results []string
			for i := range rows {
				id := i
				if w%2 == 1 {
					id = rows - 1 - i
				}
				results = append(results, fmt.Sprintf(`{"id":%d}`, id))
			}
			for done := 0; done < rounds; {
				err := s.Send(t.Context(), records(results...))
				if err == nil {
					done++
				} else if !errors.Is(err, rules.ErrUnavailable) {
					fail <- err
					return
				}
			}
			fail <- nil
		}()
	}
	for range workers {
		if err := <-fail; err != nil {
			t.Error(err)
		}
	}
	if got := m.Query(`SELECT COUNT(*), MIN(n), MAX(n) FROM dead`); got != fmt.Sprintf("%d\t%d\t%d", rows, workers*rounds, workers*rounds) {
		t.Errorf("got %s", got)
	}
}

// A server that is paused, killed or restarted is waited for; the pool finds it again by itself.
func testGone(t *testing.T, m *harness.PostgresServer, c *Conn) {
	m.Query(`CREATE TABLE gone (id BIGINT PRIMARY KEY, n INT)`)
	s := sinkOn(t, c, `{"connector":"7","table":"gone","key":"id","columns":{"id":"${messageID}","n":"${n}"},"timeoutSeconds":1}`)
	send(t, s, `{"n":1}`)
	m.Query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'hawser'`)
	for range 3 {
		if err := s.Send(t.Context(), records(`{"n":1}`)); err != nil && !errors.Is(err, rules.ErrUnavailable) {
			t.Errorf("terminated: %v", err)
		}
	}
	m.Pause()
	fresh := sinkOn(t, connect(t, m.Config()), `{"connector":"7","table":"gone","columns":{"id":"${messageID}"},"timeoutSeconds":1}`)
	harness.Eventually(t, time.Minute, "a paused server is waited for", func() bool { // it stops a moment after it is told
		return errors.Is(fresh.Send(t.Context(), records(`{"n":1}`)), rules.ErrUnavailable)
	})
	m.Resume()
	harness.Eventually(t, time.Minute, "it goes on", func() bool { return s.Send(t.Context(), records(`{"n":1}`)) == nil })
	m.Kill()
	harness.Eventually(t, time.Minute, "it is gone", func() bool {
		err := s.Send(t.Context(), records(`{"n":1}`))
		if err != nil && !errors.Is(err, rules.ErrUnavailable) {
			t.Errorf("killed: %v", err)
		}
		return err != nil
	})
	if err := c.Ping(t.Context()); !errors.Is(err, rules.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	m.Restart()
	send(t, s, `{"n":1}`, `{"n":2}`)
}
