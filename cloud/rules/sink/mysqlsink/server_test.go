package mysqlsink

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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
	m := harness.StartMariaDB(t)
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
	t.Run("sizes", func(t *testing.T) { testSizes(t, m, c) })
	t.Run("refused", func(t *testing.T) { testRefused(t, m, c) })
	t.Run("away", func(t *testing.T) { testAway(t, m, c) })
	t.Run("rights", func(t *testing.T) { testRights(t, m) })
	t.Run("altered", func(t *testing.T) { testAltered(t, m, c) })
	t.Run("deadlock", func(t *testing.T) { testDeadlock(t, m, c) })
	t.Run("closed", func(t *testing.T) { testClosed(t, m) })
	t.Run("full", func(t *testing.T) { testFull(t, m, c) })
	t.Run("gone", func(t *testing.T) { testGone(t, m, c) })
}

func send(t *testing.T, s *Sink, results ...string) {
	t.Helper()
	if err := s.Send(t.Context(), records(results...)); err != nil {
		t.Fatal(err)
	}
}

func testTypes(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query(`CREATE TABLE types (id BIGINT PRIMARY KEY, i INT, f DOUBLE, d DECIMAL(10,3), b BOOLEAN, s VARCHAR(100), x LONGTEXT, j JSON,
		t DATETIME(3), ts TIMESTAMP(3) NULL, day DATE, raw BLOB, n INT)`)
	s := sinkOn(t, c, `{"connector":"7","table":"types","key":"id","columns":{"id":"${messageID}","i":"${i}","f":"${f}","d":"${f}","b":"${b}","s":"${s}","x":"${o}","j":"${o}",
		"t":"${timestamp}","ts":"${at}","day":"${at}","raw":"${s}","n":7}}`)
	send(t, s, `{"i":42,"f":21.5,"b":true,"s":"hall","o":{"a":[1,"x"]},"at":"2026-11-27T12:34:56.789+02:00"}`, `{"i":null,"b":false,"s":true,"at":1764000000000}`)
	got := m.Query(`SELECT id, i, f, d, b, s, x, j, t, ts, day, raw, n FROM types ORDER BY id`)
	want := "100\t42\t21.5\t21.500\t1\thall\t{\"a\":[1,\"x\"]}\t{\"a\":[1,\"x\"]}\t2025-11-24 16:00:00.123\t2026-11-27 10:34:56.789\t2026-11-27\thall\t7\n" +
		"101\tNULL\tNULL\tNULL\t0\ttrue\tNULL\tNULL\t2025-11-24 16:00:00.123\t2025-11-24 16:00:00.000\t2025-11-24\t1\t7"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A number that only an unsigned integer has room for arrives with all of its digits.
func test64Bits(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query(`CREATE TABLE bits (u BIGINT UNSIGNED, d DECIMAL(20), s VARCHAR(30), j JSON, f DOUBLE, i BIGINT)`)
	s := sinkOn(t, c, `{"connector":"7","table":"bits","columns":{"u":"${n}","d":"${n}","s":"${n}","j":"${n}","f":"${n}"}}`)
	send(t, s, `{"n":18446744073709551615}`)
	if got := m.Query(`SELECT u, d, s, j, f FROM bits`); got != strings.Repeat("18446744073709551615\t", 4)+"1.8446744073709552e19" {
		t.Errorf("got %s", got)
	}
	small := sinkOn(t, c, `{"connector":"7","table":"bits","columns":{"i":"${n}"}}`)
	if err := small.Send(t.Context(), records(`{"n":18446744073709551615}`)); !errors.Is(err, rules.ErrPermanent) {
		t.Errorf("where it has no room: %v", err)
	}
}

// hostile are texts that would break statements that are put together of text.
func hostile() []string {
	return []string{`'; DROP TABLE hostile; -- `, `"`, "`", `\`, `\'`, `%s %d ? $1 ${x}`, "a\x00b", "\x1a\x08\n\r\t", "😀 naïve 日本語", `{"a":1}`, "", " ",
		strings.Repeat("x'\\\"", 50_000), "\u2028\u202e\ufeff"}
}

func testHostile(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query("CREATE TABLE `host``ile` (id BIGINT PRIMARY KEY, `a \"b'c``` LONGTEXT)")
	s := sinkOn(t, c, "{\"connector\":\"7\",\"table\":\"host`ile\",\"key\":[\"id\"],\"columns\":{\"id\":\"${messageID}\",\"a \\\"b'c`\":\"${s}\"}}")
	var results []string
	for _, text := range hostile() {
		b, _ := json.Marshal(map[string]string{"s": text})
		results = append(results, string(b))
	}
	send(t, s, results...)
	rows, err := c.db.QueryContext(t.Context(), "SELECT `a \"b'c``` FROM `host``ile` ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for _, want := range hostile() {
		var got string
		if !rows.Next() {
			t.Fatal("rows are missing")
		}
		if err := rows.Scan(&got); err != nil || got != want {
			t.Errorf("got %.60q, want %.60q (%v)", got, want, err)
		}
	}
}

func testKey(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query(`CREATE TABLE keyed (id VARCHAR(60) PRIMARY KEY, n INT)`)
	s := sinkOn(t, c, `{"connector":"7","table":"keyed","key":"id","columns":{"id":"${recordKey}","n":"${n}"}}`)
	send(t, s, `{"n":1}`, `{"n":2}`)
	send(t, s, `{"n":11}`, `{"n":12}`, `{"n":3}`)
	if got := m.Query(`SELECT id, n FROM keyed ORDER BY id`); got != "100:5\t1\n101:5\t2\n102:5\t3" {
		t.Errorf("got\n%s", got)
	}
	// Without a unique index a repeat would be another row: that is the table's fault, which an operator can put right.
	m.Query(`CREATE TABLE unkeyed (id VARCHAR(60), n INT)`)
	u := sinkOn(t, c, `{"connector":"7","table":"unkeyed","key":"id","columns":{"id":"${recordKey}","n":"${n}"}}`)
	if err := u.Send(t.Context(), records(`{"n":1}`)); !errors.Is(err, rules.ErrUnavailable) || !strings.Contains(err.Error(), "no unique index on id") {
		t.Errorf("no index: %v", err)
	}
	m.Query(`CREATE UNIQUE INDEX id ON unkeyed (id)`)
	send(t, u, `{"n":1}`)
}

func testUpdate(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query(`CREATE TABLE latest (product VARCHAR(40), device VARCHAR(40), n INT, t DATETIME(3), UNIQUE (device, product))`)
	s := sinkOn(t, c, `{"connector":"7","table":"plant.latest","key":["product","device"],"onConflict":"update","columns":{"product":"${productSN}","device":"${deviceSN}","n":"${n}","t":"${timestamp}"}}`)
	send(t, s, `{"n":1}`, `{"n":2}`, `{"n":3}`)
	send(t, s, `{"n":4}`)
	if got := m.Query(`SELECT device, n FROM latest`); got != "dev1\t4" {
		t.Errorf("got %s", got)
	}
}

func testStatement(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query(`CREATE TABLE counts (device VARCHAR(40) PRIMARY KEY, n INT NOT NULL, last JSON)`)
	s := sinkOn(t, c, `{"connector":"7","statement":"INSERT INTO counts (device, n, last) VALUES (CONCAT('d-', ${deviceSN}), ${n}, ${o}) ON DUPLICATE KEY UPDATE n = n + VALUES(n), last = VALUES(last)"}`)
	send(t, s, `{"n":1,"o":{"a":1}}`, `{"n":2,"o":{"a":"';--"}}`)
	if got := m.Query(`SELECT device, n, last FROM counts`); got != `d-dev1`+"\t3\t"+`{"a":"';--"}` {
		t.Errorf("got %s", got)
	}
	// A batch is whole or not there.
	if err := s.Send(t.Context(), records(`{"n":10}`, `{"n":null}`)); !errors.Is(err, rules.ErrPermanent) {
		t.Errorf("a bad one of two: %v", err)
	}
	if got := m.Query(`SELECT n FROM counts`); got != "3" {
		t.Errorf("half a batch is there: %s", got)
	}
}

func testSizes(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query(`CREATE TABLE sizes (id BIGINT PRIMARY KEY, n INT)`)
	s := sinkOn(t, c, `{"connector":"7","table":"sizes","key":"id","columns":{"id":"${messageID}","n":"${n}"},"batchSize":1000}`)
	want := 0
	for _, n := range []int{1, 2, 3, 7, 64, 100, 1000} {
		var results []string
		for i := range n {
			results = append(results, fmt.Sprintf(`{"n":%d}`, i))
		}
		send(t, s, results...)
		want = max(want, n)
	}
	if got := m.Query(`SELECT COUNT(*), SUM(n) FROM sizes`); got != fmt.Sprintf("%d\t%d", want, want*(want-1)/2) {
		t.Errorf("got %s", got)
	}
}

func testRefused(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query(`CREATE TABLE parent (id INT PRIMARY KEY)`)
	m.Query(`CREATE TABLE strict (id BIGINT PRIMARY KEY, i TINYINT NOT NULL, s VARCHAR(3), d DATE, p INT, e ENUM('a','b'), c INT CHECK (c > 0), j JSON, u INT UNIQUE,
		FOREIGN KEY (p) REFERENCES parent (id))`)
	m.Query(`CREATE TRIGGER strict_t BEFORE INSERT ON strict FOR EACH ROW IF NEW.i = 99 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not 99'; END IF`)
	s := sinkOn(t, c, `{"connector":"7","table":"strict","columns":{"id":"${id}","i":"${i}","s":"${s}","d":"${d}","p":"${p}","e":"${e}","c":"${c}","j":"${j}","u":"${u}"}}`)
	send(t, s, `{"id":1,"i":1,"u":7}`)
	for name, result := range map[string]string{
		"null": `{"id":2}`, "out of range": `{"id":2,"i":1000}`, "not a number": `{"id":2,"i":"x"}`, "too long": `{"id":2,"i":1,"s":"long"}`, "no date": `{"id":2,"i":1,"d":"yesterday"}`,
		"foreign key": `{"id":2,"i":1,"p":7}`, "enum": `{"id":2,"i":1,"e":"c"}`, "check": `{"id":2,"i":1,"c":-1}`, "json": `{"id":2,"i":1,"j":"{"}`, "duplicate": `{"id":1,"i":1}`,
		"another index": `{"id":2,"i":1,"u":7}`, "trigger": `{"id":2,"i":99}`, "an object for a number": `{"id":2,"i":{"a":1}}`, "a huge number": `{"id":2,"i":1e300}`,
		"a year of five digits": `{"id":2,"i":1,"d":900000000000000}`, "a year before all": `{"id":2,"i":1,"d":-900000000000000}`, "a fraction of it": `{"id":2,"i":1,"d":900000000000000.5}`,
	} {
		if err := s.Send(t.Context(), records(result)); !errors.Is(err, rules.ErrPermanent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Send(t.Context(), records(`{"id":3,"i":1}`, `{"id":4}`)); !errors.Is(err, rules.ErrPermanent) {
		t.Errorf("a bad one of two: %v", err)
	}
	if got := m.Query(`SELECT id FROM strict`); got != "1" {
		t.Errorf("there are %s", got)
	}
	for name, config := range map[string]string{
		"unknown column":           `{"connector":"7","table":"strict","columns":{"nosuch":"${id}"}}`,
		"syntax":                   `{"connector":"7","statement":"INSERT INTRO strict VALUES (${id})"}`,
		"column of a statement":    `{"connector":"7","statement":"INSERT INTO strict (nosuch) VALUES (${id})"}`,
		"missing, which it must":   `{"connector":"7","table":"strict","columns":{"i":"${nosuch}"},"missing":"refuse"}`,
		"missing, within a text":   `{"connector":"7","table":"strict","columns":{"s":"a${nosuch}"}}`,
		"larger than what is sent": `{"connector":"7","table":"strict","columns":{"s":"${huge}"}}`,
	} {
		b, _ := json.Marshal(map[string]any{"id": 9, "huge": strings.Repeat("x", 1)})
		if name == "larger than what is sent" {
			b, _ = json.Marshal(map[string]any{"huge": strings.Repeat("x", 15<<20)})
			m.Exec(`SET GLOBAL max_allowed_packet = 1048576`)
			defer m.Exec(`SET GLOBAL max_allowed_packet = 16777216`)
			c = connect(t, m.Config()) // one that asks the server anew
		}
		if err := sinkOn(t, c, config).Send(t.Context(), records(string(b))); !errors.Is(err, rules.ErrPermanent) {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

// What an operator can put right waits, and arrives when it is put right.
func testAway(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query(`CREATE TABLE away (id BIGINT PRIMARY KEY, n INT)`)
	s := sinkOn(t, c, `{"connector":"7","table":"away","key":"id","columns":{"id":"${messageID}","n":"${n}"},"timeoutSeconds":2}`)
	send(t, s, `{"n":0}`)
	for name, tt := range map[string]struct{ broken, mend []string }{
		"no table":           {[]string{"DROP TABLE plant.away"}, []string{"CREATE TABLE plant.away (id BIGINT PRIMARY KEY, n INT)"}},
		"read only":          {[]string{"SET GLOBAL read_only = 1"}, []string{"SET GLOBAL read_only = 0"}},
		"no right":           {[]string{"REVOKE ALL ON plant.* FROM 'hawser'@'%'"}, []string{"GRANT ALL ON plant.* TO 'hawser'@'%'"}},
		"wrong password":     {[]string{"ALTER USER 'hawser'@'%' IDENTIFIED BY 'other'"}, []string{"ALTER USER 'hawser'@'%' IDENTIFIED BY 's3cret, not ''shown'''"}},
		"locked":             {[]string{"ALTER USER 'hawser'@'%' ACCOUNT LOCK"}, []string{"ALTER USER 'hawser'@'%' ACCOUNT UNLOCK"}},
		"too many":           {[]string{"ALTER USER 'hawser'@'%' WITH MAX_USER_CONNECTIONS -1"}, []string{"ALTER USER 'hawser'@'%' WITH MAX_USER_CONNECTIONS 0"}},
		"statement killed":   {[]string{"SET GLOBAL max_statement_time = 0.000001"}, []string{"SET GLOBAL max_statement_time = 0"}},
		"no more statements": {[]string{"SET GLOBAL max_prepared_stmt_count = 0"}, []string{"SET GLOBAL max_prepared_stmt_count = 16382"}},
		"no database":        {[]string{"DROP DATABASE plant"}, []string{"CREATE DATABASE plant CHARACTER SET utf8mb4", "CREATE TABLE plant.away (id BIGINT PRIMARY KEY, n INT)"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, q := range tt.broken {
				m.Exec(q)
			}
			fresh := connect(t, m.Config()) // a login too, which is where some of it shows
			for _, on := range []*Sink{s, sinkOn(t, fresh, `{"connector":"7","table":"away","key":"id","columns":{"id":"${messageID}","n":"${n}"}}`)} {
				err := on.Send(t.Context(), records(`{"n":1}`, `{"n":2}`))
				if err == nil && (on == s || name == "statement killed") { // old connections do not always feel it, and some are too quick
					continue
				}
				if !errors.Is(err, rules.ErrUnavailable) || errors.Is(err, rules.ErrPermanent) {
					t.Errorf("broken: %v", err)
				}
			}
			for _, q := range tt.mend {
				m.Exec(q)
			}
			send(t, s, `{"n":1}`, `{"n":2}`)
		})
	}
}

// A sink whose action was changed leaves no statements behind.
func testClosed(t *testing.T, m *harness.MariaDB) {
	m.Query(`CREATE TABLE closed (n INT)`)
	c := connect(t, m.Config())
	prepared := func() string {
		return m.Query(`SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'PREPARED_STMT_COUNT'`)
	}
	before := prepared()
	s := sinkOn(t, c, `{"connector":"7","table":"closed","columns":{"n":"${n}"}}`)
	send(t, s, `{"n":1}`)
	send(t, s, `{"n":1}`, `{"n":2}`)
	if now := prepared(); now == before {
		t.Fatalf("%s statements are prepared, as before", now)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if now := prepared(); now != before {
		t.Errorf("%s statements are left, want %s", now, before)
	}
	send(t, s, `{"n":1}`) // one that was about to begin
}

// A statement of one's own may need rights that are given by column or function: those too are an operator's to give.
func testRights(t *testing.T, m *harness.MariaDB) {
	m.Query(`CREATE TABLE rights (id BIGINT, n INT)`)
	m.Exec(`CREATE FUNCTION plant.twice (n INT) RETURNS INT DETERMINISTIC RETURN 2 * n`)
	const take, all = `REVOKE ALL ON plant.* FROM 'hawser'@'%'`, `GRANT ALL ON plant.* TO 'hawser'@'%'`
	for name, given := range map[string]string{"column": `GRANT INSERT (id) ON plant.rights TO 'hawser'@'%'`, "function": `GRANT INSERT ON plant.rights TO 'hawser'@'%'`} {
		t.Run(name, func(t *testing.T) {
			const config = `{"connector":"7","statement":"INSERT INTO rights (id, n) VALUES (${messageID}, twice(${n}))"}`
			if name == "column" {
				m.Exec(`GRANT EXECUTE ON FUNCTION plant.twice TO 'hawser'@'%'`)
			} else {
				m.Exec(`REVOKE EXECUTE ON FUNCTION plant.twice FROM 'hawser'@'%'`)
			}
			m.Exec(take)
			m.Exec(given)
			if err := sinkOn(t, connect(t, m.Config()), config).Send(t.Context(), records(`{"n":1}`)); !errors.Is(err, rules.ErrUnavailable) || errors.Is(err, rules.ErrPermanent) {
				t.Errorf("without the right: %v", err)
			}
			m.Exec(all)
			send(t, sinkOn(t, connect(t, m.Config()), config), `{"n":1}`)
		})
	}
}

// A table that is altered is looked at anew.
func testAltered(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query(`CREATE TABLE altered (at BIGINT)`)
	s := sinkOn(t, c, `{"connector":"7","table":"altered","columns":{"at":"${timestamp}","more":"${n}"}}`)
	if err := s.Send(t.Context(), records(`{"n":1}`)); !errors.Is(err, rules.ErrPermanent) {
		t.Errorf("without the column: %v", err)
	}
	m.Query(`ALTER TABLE altered ADD COLUMN more INT, MODIFY at DATETIME(3)`)
	send(t, s, `{"n":1}`)
	if got := m.Query(`SELECT at, more FROM altered`); got != "2025-11-24 16:00:00.123\t1" {
		t.Errorf("got %s", got)
	}
}

// Batches that lock the same rows in other orders meet each other, and all arrive.
func testDeadlock(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query(`CREATE TABLE dead (id INT PRIMARY KEY, n INT NOT NULL)`)
	s := sinkOn(t, c, `{"connector":"7","statement":"INSERT INTO dead (id, n) VALUES (${id}, 1) ON DUPLICATE KEY UPDATE n = n + 1"}`)
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

// A table that has no more room waits for some.
func testFull(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query(`SET max_heap_table_size = 16384// CREATE TABLE full (id BIGINT PRIMARY KEY, s VARCHAR(1000)) ENGINE = MEMORY`)
	s := sinkOn(t, c, `{"connector":"7","table":"full","key":"id","columns":{"id":"${i}","s":"${s}"}}`)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = s.Send(t.Context(), records(fmt.Sprintf(`{"i":%d,"s":"x"}`, i)))
	}
	if !errors.Is(err, rules.ErrUnavailable) {
		t.Fatalf("full: %v", err)
	}
	m.Query(`DELETE FROM full`)
	send(t, s, `{"i":1,"s":"x"}`)
}

// A server that is paused, killed or restarted is waited for; the pool finds it again by itself.
func testGone(t *testing.T, m *harness.MariaDB, c *Conn) {
	m.Query(`CREATE TABLE gone (id BIGINT PRIMARY KEY, n INT)`)
	s := sinkOn(t, c, `{"connector":"7","table":"gone","key":"id","columns":{"id":"${messageID}","n":"${n}"},"timeoutSeconds":1}`)
	send(t, s, `{"n":1}`)
	m.Exec(`CREATE PROCEDURE plant.cut() BEGIN DECLARE i INT; FOR r IN (SELECT id FROM information_schema.processlist WHERE user = 'hawser') DO KILL r.id; END FOR; END`)
	m.Query(`CALL cut()`)
	send(t, s, `{"n":1}`) // idle connections that were cut are told from work that was
	m.Pause()
	harness.Eventually(t, time.Minute, "a paused server is waited for", func() bool { // it stops a moment after it is told
		return errors.Is(s.Send(t.Context(), records(`{"n":1}`)), rules.ErrUnavailable)
	})
	m.Resume()
	send(t, s, `{"n":1}`)
	m.Kill()
	for range 3 {
		if err := s.Send(t.Context(), records(`{"n":1}`)); !errors.Is(err, rules.ErrUnavailable) {
			t.Errorf("killed: %v", err)
		}
	}
	if err := c.Ping(t.Context()); !errors.Is(err, rules.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	m.Restart()
	send(t, s, `{"n":1}`, `{"n":2}`)
}
