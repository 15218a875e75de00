package scenario

import (
	"encoding/json"
	"testing"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// timeSeriesTarget is an InfluxDB. A repeat overwrites its point, so that a number that is there twice has come as two.
type timeSeriesTarget struct{ *harness.TimeSeries }

func (s *timeSeriesTarget) Start(t *testing.T) string {
	t.Helper()
	s.TimeSeries = harness.StartInfluxDB(t)
	return s.Addr
}

func (s *timeSeriesTarget) Action(t *testing.T, hub *harness.Hub, addr string) map[string]any {
	t.Helper()
	var c struct{ ID string }
	err := hub.Call("POST", "/v1/connectors", map[string]any{"name": "series", "kind": "tsdb",
		"config": map[string]any{"url": "http://" + addr, "database": "hawser", "user": s.User, "password": s.Password, "timeoutSeconds": 2}}, &c)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"kind": "tsdb", "connector": c.ID, "measurement": "numbers", "tags": map[string]string{"device": "${device}"},
		"fields": map[string]any{"n": map[string]string{"value": "${n}", "type": "int"}}, "batchSize": 50, "lingerMillis": 20}
}

// Rows are in the order of the points' times, which are those of the messages: the server does not tell the order of arrival.
func (s *timeSeriesTarget) Rows(t *testing.T) map[string][]int {
	t.Helper()
	rows := map[string][]int{}
	for _, series := range s.Influx(`SELECT n FROM numbers GROUP BY device`) {
		for _, v := range series.Values {
			n, err := v[1].(json.Number).Int64()
			if err != nil {
				t.Fatal(err)
			}
			rows[series.Tags["device"]] = append(rows[series.Tags["device"]], int(n))
		}
	}
	return rows
}
