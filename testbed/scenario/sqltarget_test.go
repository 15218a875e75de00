package scenario

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// sqlServer is a database server that a test has for itself.
type sqlServer interface {
	Pause()
	Resume()
	Kill()
	Restart()
	Query(sql string) string
	Config() map[string]any
}

// sqlTarget is a table with a number that counts rows up as they come, and the record's key as key.
type sqlTarget struct {
	sqlServer
	kind   string
	serial string // the type of the number
	key    bool
	start  func(t *testing.T) (s sqlServer, addr string)
}

func (s *sqlTarget) Start(t *testing.T) (addr string) {
	t.Helper()
	s.sqlServer, addr = s.start(t)
	unique := ""
	if s.key {
		unique = "UNIQUE"
	}
	s.Query(`CREATE TABLE readings (seq ` + s.serial + ` PRIMARY KEY, rec VARCHAR(80) NOT NULL ` + unique + `, device VARCHAR(80) NOT NULL, n INT NOT NULL)`)
	if s.kind == "postgres" {
		s.Query(`GRANT ALL ON readings, readings_seq_seq TO hawser`)
	}
	return addr
}

func (s *sqlTarget) Action(t *testing.T, hub *harness.Hub, addr string) map[string]any {
	t.Helper()
	config := s.Config()
	host, port, _ := strings.Cut(addr, ":")
	config["host"] = host
	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	config["port"] = n
	var c struct{ ID string }
	if err := hub.Call("POST", "/v1/connectors", map[string]any{"name": s.kind, "kind": s.kind, "config": config}, &c); err != nil {
		t.Fatal(err)
	}
	action := map[string]any{"kind": s.kind, "connector": c.ID, "table": "readings", "timeoutSeconds": 2,
		"columns": map[string]any{"rec": "${recordKey}", "device": "${device}", "n": "${n}"}}
	if s.key {
		action["key"] = "rec"
	}
	return action
}

func (s *sqlTarget) Rows(t *testing.T) map[string][]int {
	t.Helper()
	rows := map[string][]int{}
	for line := range strings.Lines(s.Query(`SELECT device, n FROM readings ORDER BY seq`)) {
		var device string
		var n int
		if _, err := fmt.Sscan(line, &device, &n); err != nil {
			t.Fatalf("row %q: %v", line, err)
		}
		rows[device] = append(rows[device], n)
	}
	return rows
}

func mysqlTarget() delivery {
	return delivery{keyed: true, target: &sqlTarget{kind: "mysql", serial: "BIGINT AUTO_INCREMENT", key: true, start: func(t *testing.T) (sqlServer, string) {
		m := harness.StartMariaDB(t)
		return m, m.Addr
	}}}
}

func postgresTarget(key bool) delivery {
	return delivery{keyed: key, target: &sqlTarget{kind: "postgres", serial: "BIGSERIAL", key: key, start: func(t *testing.T) (sqlServer, string) {
		p := harness.StartPostgresServer(t)
		return p, p.Addr
	}}}
}
