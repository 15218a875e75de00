package mysqlsink

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
)

func TestConnectorConfig(t *testing.T) {
	out := outbound.New(outbound.Options{})
	for _, good := range []string{`{"host":"db","database":"d","user":"u"}`, `{"host":"10.0.0.1","port":3307,"database":"d","user":"u","password":"p","maxConnections":3}`,
		`{"host":"fd00::1","database":"d","user":"u","tls":true}`} {
		c, err := Connector().Open(json.RawMessage(good), out)
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		_ = c.Close()
	}
	for _, bad := range []string{``, `{}`, `{"host":"db","database":"d"}`, `{"host":"db","user":"u"}`, `{"database":"d","user":"u"}`, `{"host":"db:1","database":"d","user":"u"}`,
		`{"host":"tcp(db)/x","database":"d","user":"u"}`, `{"host":"db","port":70000,"database":"d","user":"u"}`, `{"host":"db","database":"d","user":"u","maxConnections":65}`,
		`{"host":"127.0.0.1","database":"d","user":"u"}`, `{"host":"db","database":"d","user":"u","tls":true,"ca":"x"}`, `{"host":"db","database":"d","user":"u","ca":"x"}`,
		`{"host":"db","database":"d","user":"u","dsn":"x"}`} {
		if _, err := Connector().Open(json.RawMessage(bad), out); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// A name that leads to this machine is waited for: it is not the records' fault.
func TestLocalTarget(t *testing.T) {
	c, err := Connector().Open(json.RawMessage(`{"host":"localhost","port":1,"database":"d","user":"u"}`), outbound.New(outbound.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(t.Context()); !errors.Is(err, rules.ErrUnavailable) || errors.Is(err, rules.ErrPermanent) || !strings.Contains(err.Error(), "--rule-allow-local") {
		t.Error(err)
	}
}

func planned(t *testing.T, config string) *Sink {
	t.Helper()
	s, err := New(json.RawMessage(config), rules.Env{Connector: func(string, string) (rules.Handle, error) { return fixed{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return s.(*Sink)
}

func TestText(t *testing.T) {
	for _, tt := range []struct {
		config string
		rows   int
		want   string
	}{
		{`{"connector":"7","table":"t","columns":{"b":"${b}","a":1}}`, 1, "INSERT INTO `t` (`a`, `b`) VALUES (?,?)"},
		{`{"connector":"7","table":"d.t","columns":{"a":"${a}"},"key":"a"}`, 3, "INSERT INTO `d`.`t` (`a`) VALUES (?),(?),(?) ON DUPLICATE KEY UPDATE `a` = `a`"},
		{`{"connector":"7","table":"t","columns":{"a":"${a}","b":"x"},"key":["a"],"onConflict":"update"}`, 1,
			"INSERT INTO `t` (`a`, `b`) VALUES (?,?) ON DUPLICATE KEY UPDATE `a` = VALUES(`a`), `b` = VALUES(`b`)"},
		{"{\"connector\":\"7\",\"table\":\"a`b\",\"columns\":{\"c` = 1; DROP TABLE x; --\":\"${a}\"}}", 1, "INSERT INTO `a``b` (`c`` = 1; DROP TABLE x; --`) VALUES (?)"},
		{`{"connector":"7","statement":"UPDATE t SET a = ${a} WHERE b = 'it''s' AND c = ${c.d};"}`, 1, "UPDATE t SET a = ? WHERE b = 'it''s' AND c = ?"},
	} {
		if got := text(planned(t, tt.config).plan, tt.rows); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.config, got, tt.want)
		}
	}
}

func TestBinary(t *testing.T) {
	_, err := New(json.RawMessage(`{"connector":"7","table":"t","columns":{"a":1}}`), rules.Env{Binary: true, Connector: func(string, string) (rules.Handle, error) { return fixed{}, nil }})
	if err == nil {
		t.Error("a rule for binary messages writes rows")
	}
}

func TestChunks(t *testing.T) {
	for n := 1; n < 300; n++ {
		sum := 0
		for _, size := range chunks(n, false) {
			sum += size
		}
		if sum != n {
			t.Errorf("%d rows become %v", n, chunks(n, false))
		}
	}
	if got := chunks(3, true); !reflect.DeepEqual(got, []int{1, 1, 1}) {
		t.Errorf("single: %v", got)
	}
}

// A statement has a bounded number of placeholders.
func TestBatchOfWideRows(t *testing.T) {
	columns := make([]string, 256)
	for i := range columns {
		columns[i] = fmt.Sprintf(`"c%d":1`, i)
	}
	s := planned(t, `{"connector":"7","table":"t","batchSize":1000,"columns":{`+strings.Join(columns, ",")+`}}`)
	if got := s.MaxBatch(); got != 255 {
		t.Errorf("batches of %d", got)
	}
}

func TestPreview(t *testing.T) {
	s := planned(t, `{"connector":"7","table":"t","columns":{"a":"${o}","b":"${none}","c":"${deviceSN}"},"key":"c"}`)
	got, err := s.Preview(&records(`{"o":{"x":1}}`)[0])
	want := rules.Preview{Target: "plant: t", Statement: "INSERT INTO `t` (`a`, `b`, `c`) VALUES (?,?,?) ON DUPLICATE KEY UPDATE `c` = `c`",
		Args: []any{json.RawMessage(`{"x":1}`), nil, "dev1"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}
