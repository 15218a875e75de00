package tsdbsink

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/httpconn"
	"github.com/hawser-iot/hawser/testbed/harness"
)

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

func influx(t *testing.T) (*harness.TimeSeries, *Conn) {
	t.Helper()
	srv := harness.StartInfluxDB(t)
	return srv, connect(t, ConnConfig{URL: srv.URL(), Database: "hawser", User: srv.User, Password: srv.Password})
}

// What is written is read back by InfluxDB as it was.
func TestInfluxDB(t *testing.T) {
	srv, conn := influx(t)
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatalf("Ping: %v", err)
	}
	s := sink(t, conn, `{"connector":"7","measurement":"odd one, of=all","tags":{"dev ice":"${deviceSN}","room":"${room}"},
		"fields":{"f f":{"value":"${f}"},"i":{"value":"${i}","type":"int"},"b":{"value":"${b}"},"s,=":{"value":"${s}"}}}`)
	texts := []string{`a=b, "c" d`, "two\nlines\ttab", `back\slash\\es\"`, "größe 東京", "#", `\`}
	records := make([]rules.Record, 0, 300)
	for n := range 300 { // long enough to be compressed
		b, err := json.Marshal(map[string]any{"room": `C:\x, y=z`, "f": float64(n) / 8, "i": int64(n) << 52, "b": n%2 == 0, "s": texts[n%len(texts)]})
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, record(n, string(b)))
	}
	for range 2 { // a repeat overwrites
		if err := s.Send(t.Context(), records); err != nil {
			t.Fatalf("Send: %v", err)
		}
	}
	series := srv.Influx(`SELECT "f f", i, b, "s,=" FROM "odd one, of=all" GROUP BY *`)
	if len(series) != 1 || len(series[0].Values) != len(records) {
		t.Fatalf("got %d series: %.500v", len(series), series)
	}
	if want := map[string]string{"dev ice": "dev1", "room": `C:\x, y=z`}; !reflect.DeepEqual(series[0].Tags, want) {
		t.Errorf("tags = %v, want %v", series[0].Tags, want)
	}
	for n, row := range series[0].Values {
		want := fmt.Sprint([]any{ownNanos(&records[n]), float64(n) / 8, int64(n) << 52, n%2 == 0, texts[n%len(texts)]})
		if got := fmt.Sprint(row); got != want {
			t.Errorf("row %d = %q, want %q", n, got, want)
		}
	}
}

// What FOREACH makes of one message are as many points.
func TestRowsOfOneMessage(t *testing.T) {
	srv, conn := influx(t)
	records := make([]rules.Record, 0, 600)
	for row := range cap(records) {
		r := record(1, fmt.Sprintf(`{"t":%d}`, row))
		r.Index = row << 8 // as rules number the rows of one message
		records = append(records, r)
	}
	if err := sink(t, conn, plain).Send(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if got := srv.Influx(`SELECT COUNT(t), SUM(t) FROM weather`); len(got) != 1 || fmt.Sprint(got[0].Values[0][1:]) != "[600 179700]" {
		t.Errorf("got %v, want 600 points", got)
	}
}

// What InfluxDB refuses, and how: the classes come from its own answers.
func TestInfluxDBRefuses(t *testing.T) {
	srv, conn := influx(t)
	s := sink(t, conn, plain)
	if err := s.Send(t.Context(), []rules.Record{record(1, `{"t":1}`)}); err != nil {
		t.Fatal(err)
	}
	// Of three points the second is of another type: the others are kept, and each alone shows which.
	batch := []rules.Record{record(2, `{"t":2}`), record(3, `{"t":"warm"}`), record(4, `{"t":4}`)}
	err := s.Send(t.Context(), batch)
	if !errors.Is(err, rules.ErrPermanent) || !contains(err, "field type conflict") {
		t.Fatalf("a batch with one of another type: %v", err)
	}
	for i := range batch {
		if err := s.Send(t.Context(), batch[i:i+1]); errors.Is(err, rules.ErrPermanent) != (i == 1) || i != 1 && err != nil {
			t.Errorf("point %d alone: %v", i, err)
		}
	}
	if got := srv.Influx(`SELECT count(t) FROM weather`); len(got) != 1 || fmt.Sprint(got[0].Values[0][1]) != "3" {
		t.Errorf("count is %v, want 3", got)
	}
	srv.Influx(`CREATE RETENTION POLICY short ON hawser DURATION 1h REPLICATION 1`)
	short := connect(t, ConnConfig{URL: srv.URL(), Database: "hawser", RetentionPolicy: "short", User: srv.User, Password: srv.Password})
	if err := sink(t, short, plain).Send(t.Context(), batch[:1]); !errors.Is(err, rules.ErrPermanent) || !contains(err, "retention") {
		t.Errorf("a point that is too old: %v", err)
	}
	for name, cfg := range map[string]ConnConfig{
		"no such database": {URL: srv.URL(), Database: "nothing", User: srv.User, Password: srv.Password},
		"no such policy":   {URL: srv.URL(), Database: "hawser", RetentionPolicy: "nothing", User: srv.User, Password: srv.Password},
		"wrong password":   {URL: srv.URL(), Database: "hawser", User: srv.User, Password: "wrong one"},
		"no password":      {URL: srv.URL(), Database: "hawser"},
	} {
		bad := connect(t, cfg)
		if err := sink(t, bad, plain).Send(t.Context(), batch[:1]); !errors.Is(err, rules.ErrUnavailable) || contains(err, "wrong one") {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
		if err := bad.Ping(t.Context()); !errors.Is(err, rules.ErrUnavailable) && name != "no such policy" {
			t.Errorf("%s: Ping: %v, want ErrUnavailable", name, err)
		}
	}
	srv.Kill()
	if err := s.Send(t.Context(), batch[:1]); !errors.Is(err, rules.ErrUnavailable) || contains(err, "http://") {
		t.Errorf("nobody there: %v", err)
	}
	srv.Restart()
	harness.Eventually(t, time.Minute, "the server takes points again", func() bool { return s.Send(t.Context(), batch[:1]) == nil })
}

func TestVictoriaMetrics(t *testing.T) {
	if _, err := exec.LookPath("victoria-metrics"); err != nil {
		t.Fatal("victoria-metrics is not installed: make install-test-deps")
	}
	srv := harness.StartVictoriaMetrics(t)
	const config = `{"connector":"7","measurement":"odd one, of","tags":{"room":"${room}"},"fields":{"t":{"value":"${t}"},"on":{"value":"${on}"},"s":{"value":"${s}"}}}`
	for name, cfg := range map[string]ConnConfig{
		"v1": {URL: srv.URL()},
		"v2": {URL: srv.URL(), Bucket: "b", Org: "o", Server: serverVictoria},
	} {
		conn := connect(t, cfg)
		if err := conn.Ping(t.Context()); err != nil {
			t.Fatalf("%s: Ping: %v", name, err)
		}
		room := `C:\x, y=z ` + name
		result, err := json.Marshal(map[string]any{"room": room, "t": 20.5, "on": true, "s": "two\nlines"})
		if err != nil {
			t.Fatal(err)
		}
		if err := sink(t, conn, config).Send(t.Context(), []rules.Record{record(1, string(result))}); err != nil {
			t.Fatalf("%s: Send: %v", name, err)
		}
		srv.Get("/internal/force_flush", nil)
		match, err := json.Marshal(room)
		if err != nil {
			t.Fatal(err)
		}
		got := string(srv.Get("/api/v1/export", url.Values{"match[]": {`{room=` + string(match) + `}`}}))
		for _, want := range []string{`"__name__":"odd one, of_t"`, `"values":[20.5],"timestamps":[1700000000123]`, `"__name__":"odd one, of_on"`, `"values":[1]`} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: export has no %s:\n%s", name, want, got)
			}
		}
		if strings.Contains(got, "of_s") {
			t.Errorf("%s: a string became a number:\n%s", name, got)
		}
	}
}

func TestAnswers(t *testing.T) {
	var (
		status int
		body   string
		got    *http.Request
	)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer srv.Close()
	conn := connect(t, ConnConfig{URL: srv.URL, Bucket: "b", Org: "o", Token: "hush"})
	s := sink(t, conn, plain)
	tests := []struct {
		status     int
		body, want string
		class      error
	}{
		{204, "", "", nil},
		{200, "", "", nil},
		{400, `{"code":"invalid","message":"partial write: 1 dropped"}`, "the target answered 400 Bad Request: partial write: 1 dropped", rules.ErrPermanent},
		{413, `{"code":"request too large","message":"too big"}`, "the target answered 413 Request Entity Too Large: too big", rules.ErrPermanent},
		{422, "out of\nretention", "the target answered 422 Unprocessable Entity: out of retention", rules.ErrPermanent},
		{302, "", "the target answered 302 Found", rules.ErrUnavailable},
		{401, `{"error":"unauthorized"}`, "the target answered 401 Unauthorized: unauthorized", rules.ErrUnavailable},
		{403, "", "the target answered 403 Forbidden", rules.ErrUnavailable},
		{404, `{"code":"not found","message":"bucket \"b\" not found"}`, `the target answered 404 Not Found: bucket "b" not found`, rules.ErrUnavailable},
		{429, "", "the target answered 429 Too Many Requests", rules.ErrUnavailable},
		{500, "", "the target answered 500 Internal Server Error", rules.ErrUnavailable},
		{503, "", "the target answered 503 Service Unavailable", rules.ErrUnavailable},
		{418, "", "the target answered 418 I'm a teapot", nil},
		{401, "no user has the token hush", "the target answered 401 Unauthorized: no user has the token ***", rules.ErrUnavailable},
	}
	for _, tt := range tests {
		status, body = tt.status, tt.body
		err := s.Send(t.Context(), []rules.Record{record(1, `{"t":1}`)})
		if tt.want == "" {
			if err != nil {
				t.Errorf("%d: %v", tt.status, err)
			}
			continue
		}
		if err == nil || err.Error() != tt.want || tt.class != nil && !errors.Is(err, tt.class) ||
			tt.class == nil && (errors.Is(err, rules.ErrPermanent) || errors.Is(err, rules.ErrUnavailable)) {
			t.Errorf("%d: %v, want %s", tt.status, err, tt.want)
		}
		if e, ok := errors.AsType[*httpconn.StatusError](err); !ok || e.RetryAfter() != 7*time.Second {
			t.Errorf("%d: Retry-After is not told", tt.status)
		}
	}
	if got.Header.Get("Authorization") != "Token hush" || got.URL.String() != "/api/v2/write?bucket=b&org=o" || got.Header.Get("User-Agent") != "hawser-hub/1" {
		t.Errorf("request %s, %v", got.URL, got.Header)
	}
	status, body = 400, "writing requires points"
	if err := conn.Ping(t.Context()); err != nil {
		t.Errorf("Ping of a bucket that is there: %v", err)
	}
	status = 401
	if err := conn.Ping(t.Context()); !errors.Is(err, rules.ErrUnavailable) {
		t.Errorf("Ping with a wrong token: %v", err)
	}
}
