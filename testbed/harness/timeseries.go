package harness

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// TimeSeries is a time-series database: an InfluxDB 1 or a VictoriaMetrics.
type TimeSeries struct {
	*Process
	Addr, User, Password string // what User and Password are "" for asks for none

	e Env
}

// URL is where the server is.
func (s *TimeSeries) URL() string { return "http://" + s.Addr }

func startTimeSeries(e Env, addr, user, password string, args ...string) *TimeSeries {
	e.Helper()
	path, err := exec.LookPath(args[0])
	if err != nil {
		e.Fatalf("%v (testbed/setup/install.sh installs it)", err)
	}
	return &TimeSeries{Process: StartProcess(e, Command{Path: path, Args: args[1:], Ready: ReadyAt(addr)}), Addr: addr, User: user, Password: password, e: e}
}

// StartInfluxDB starts Debian's InfluxDB 1 on a free loopback port, with a user that may do everything and a database "hawser"; it
// ends with e.
func StartInfluxDB(e Env) *TimeSeries {
	e.Helper()
	addr, dir := FreeAddr(e), e.TempDir()
	conf := fmt.Sprintf(`reporting-disabled = true
bind-address = %q
[meta]
dir = "%[2]s/meta"
[data]
dir = "%[2]s/data"
wal-dir = "%[2]s/wal"
query-log-enabled = false
[http]
bind-address = %[3]q
auth-enabled = true
log-enabled = false
[monitor]
store-enabled = false
`, FreeAddr(e), dir, addr)
	file := filepath.Join(dir, "influxdb.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		e.Fatalf("InfluxDB's configuration: %v", err)
	}
	s := startTimeSeries(e, addr, "hub", "s3cret, not \"shown\"", "influxd", "-config", file)
	s.Influx("CREATE USER hub WITH PASSWORD 's3cret, not \"shown\"' WITH ALL PRIVILEGES")
	s.Influx("CREATE DATABASE hawser")
	return s
}

// StartVictoriaMetrics starts Debian's VictoriaMetrics on a free loopback port; it ends with e. What is written can be read at
// once after /internal/force_flush.
func StartVictoriaMetrics(e Env) *TimeSeries {
	e.Helper()
	addr := FreeAddr(e)
	return startTimeSeries(e, addr, "", "", "victoria-metrics", "-storageDataPath="+e.TempDir(), "-httpListenAddr="+addr,
		"-search.latencyOffset=0s", "-retentionPeriod=100y", "-loggerLevel=ERROR")
}

// Get reads a path of the server's HTTP interface.
func (s *TimeSeries) Get(path string, query url.Values) []byte {
	s.e.Helper()
	req, err := http.NewRequest(http.MethodGet, s.URL()+path+"?"+query.Encode(), nil)
	if strings.HasPrefix(path, "/query") {
		req, err = http.NewRequest(http.MethodPost, s.URL()+path, strings.NewReader(query.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if err != nil {
		s.e.Fatalf("%v", err)
	}
	if s.User != "" {
		req.SetBasicAuth(s.User, s.Password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.e.Fatalf("%s: %v", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		s.e.Fatalf("%s: %d %s, %v", path, resp.StatusCode, body, err)
	}
	return body
}

// Series is one series of an answer of InfluxDB. The first column is the time, in nanoseconds; numbers are json.Number.
type Series struct {
	Name    string
	Tags    map[string]string
	Columns []string
	Values  [][]any
}

// Influx asks an InfluxDB's database "hawser" a question.
func (s *TimeSeries) Influx(q string) []Series {
	s.e.Helper()
	var answer struct {
		Results []struct {
			Error  string
			Series []Series
		}
	}
	dec := json.NewDecoder(strings.NewReader(string(s.Get("/query", url.Values{"db": {"hawser"}, "epoch": {"ns"}, "q": {q}}))))
	dec.UseNumber()
	if err := dec.Decode(&answer); err != nil || len(answer.Results) != 1 || answer.Results[0].Error != "" {
		s.e.Fatalf("%s: %+v, %v", q, answer, err)
	}
	return answer.Results[0].Series
}
