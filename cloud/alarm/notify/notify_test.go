package notify

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/alarm"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

func out() rules.Outbound {
	return outbound.New(outbound.Options{AllowLocal: true, UserAgent: "hawser-hub/1"})
}

func open(t *testing.T, kind string, config any) alarm.Sender {
	t.Helper()
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Kinds(out())[kind].Open(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hot is a message of two alarms.
func hot() alarm.Message {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return alarm.Message{Project: "farm", At: at, ID: 99, Notices: []alarm.Notice{
		{Alarm: alarm.Alarm{ID: 1, Rule: 7, RuleName: "hot <&> *", Product: "pump", Device: "pump-1", Severity: alarm.Critical, Text: "t is 31 (> 30)", Value: "31", Seen: 1, Opened: at}},
		{Alarm: alarm.Alarm{ID: 2, Rule: 8, RuleName: "kühl", Severity: alarm.Minor, Text: "x", Seen: 1, Opened: at, Cleared: at.Add(time.Minute)}, Over: true},
	}}
}

// request is what a hook has received.
type request struct {
	*http.Request
	body []byte
	json map[string]any
}

// serve answers with a status and body, and hands out what came.
func serve(t *testing.T, status int, answer string) (*httptest.Server, chan request) {
	t.Helper()
	got := make(chan request, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := request{Request: r}
		q.body, _ = io.ReadAll(r.Body)
		_ = json.Unmarshal(q.body, &q.json)
		got <- q
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	return srv, got
}

func TestChats(t *testing.T) {
	const text = "Hawser: 1 alarms, 1 over\n2026-03-01 12:00:00Z [critical] hot <&> *: pump/pump-1 t is 31 (> 30)\n2026-03-01 12:01:00Z [over] kühl: x"
	for _, tt := range []struct {
		kind, secret, ok, bad string
		text                  func(q request) any
	}{
		{"slack", "", "ok", "invalid_payload", func(q request) any { return q.json["text"] }},
		{"wecom", "", `{"errcode":0}`, `{"errcode":93000,"errmsg":"invalid webhook"}`, func(q request) any { return q.json["text"].(object)["content"] }},
		{"dingtalk", "SEC1", `{"errcode":0}`, `{"errcode":310000,"errmsg":"sign not match"}`, func(q request) any {
			stamp := q.URL.Query().Get("timestamp")
			if q.URL.Query().Get("access_token") != "tok" || q.URL.Query().Get("sign") != mac("SEC1", stamp+"\nSEC1") {
				t.Errorf("dingtalk's query is %s", q.URL.RawQuery)
			}
			return q.json["text"].(object)["content"]
		}},
		{"feishu", "SEC2", `{"code":0}`, `{"code":19021,"msg":"sign match fail"}`, func(q request) any {
			if stamp, _ := q.json["timestamp"].(string); q.json["sign"] != mac(stamp+"\nSEC2", "") {
				t.Errorf("feishu's body is %s", q.body)
			}
			return q.json["content"].(object)["text"]
		}},
	} {
		srv, got := serve(t, 200, tt.ok)
		config := map[string]any{"url": srv.URL + "/hook?access_token=tok"}
		if tt.secret != "" {
			config["secret"] = tt.secret
		}
		if err := open(t, tt.kind, config).Send(t.Context(), hot()); err != nil {
			t.Errorf("%s: %v", tt.kind, err)
		}
		want := text
		if tt.kind == "slack" {
			want = slackEscape.Replace(text)
		}
		if q := <-got; tt.text(q) != want {
			t.Errorf("%s was sent %s", tt.kind, q.body)
		}
		srv, got = serve(t, 200, tt.bad)
		config["url"] = srv.URL
		if err := open(t, tt.kind, config).Send(t.Context(), hot()); err == nil {
			t.Errorf("%s: a refusal with 200 is taken for success", tt.kind)
		}
		<-got
	}
}

func TestTeams(t *testing.T) {
	srv, got := serve(t, 202, "")
	if err := open(t, "teams", hook{URL: srv.URL}).Send(t.Context(), hot()); err != nil {
		t.Fatal(err)
	}
	q := <-got
	card := q.json["attachments"].([]any)[0].(object)
	if card["contentType"] != "application/vnd.microsoft.card.adaptive" || !strings.Contains(string(q.body), `\\[critical\\] hot`) || !strings.Contains(string(q.body), `"attention"`) {
		t.Errorf("the card is %s", q.body)
	}
}

func TestWebhook(t *testing.T) {
	srv, got := serve(t, 204, "")
	const secret = "0123456789abcdef"
	if err := open(t, "webhook", hook{URL: srv.URL + "/in", Secret: secret}).Send(t.Context(), hot()); err != nil {
		t.Fatal(err)
	}
	q := <-got
	var stamp int64
	_, _ = fmt.Sscanf(q.Header.Get("Hawser-Signature"), "t=%d,", &stamp)
	if q.Header.Get("Hawser-Signature") != sign(secret, time.Unix(stamp, 0), q.body) || time.Since(time.Unix(stamp, 0)) > time.Minute || q.Header.Get("Idempotency-Key") != "99" {
		t.Errorf("headers %v", q.Header)
	}
	first := q.json["alarms"].([]any)[0].(object)
	if first["state"] != "open" || first["severity"] != "critical" || first["deviceSN"] != "pump-1" || q.json["alarms"].([]any)[1].(object)["state"] != "cleared" {
		t.Errorf("body %s", q.body)
	}
	srv, got = serve(t, 503, "later")
	err := open(t, "webhook", hook{URL: srv.URL + "/secret-token"}).Send(t.Context(), alarm.Message{Test: true})
	if err == nil || !strings.Contains(err.Error(), "503") || strings.Contains(err.Error(), "secret-token") {
		t.Errorf("got %v", err)
	}
	<-got
}

func TestGuard(t *testing.T) {
	guarded := Kinds(outbound.New(outbound.Options{}))
	for kind, config := range map[string]string{"slack": `{"url":"http://127.0.0.1/x"}`, "smtp": `{"host":"127.0.0.1","from":"a@b.c","to":["d@e.f"]}`} {
		if _, err := guarded[kind].Open([]byte(config)); err == nil {
			t.Errorf("%s to this machine is taken", kind)
		}
	}
	s, err := guarded["webhook"].Open([]byte(`{"url":"http://localhost:1/x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), hot()); err == nil || !strings.Contains(err.Error(), "rule-allow-local") {
		t.Errorf("got %v", err)
	}
}

func TestWrongConfigurations(t *testing.T) {
	for kind, configs := range map[string][]string{
		"webhook": {`{}`, `{"url":"ftp://x"}`, `{"url":"https://u:p@x"}`, `{"url":"https://x","secret":"short"}`, `{"url":"https://x","more":1}`},
		"smtp": {`{}`, `{"host":"h"}`, `{"host":"h","from":"a@b.c","to":[]}`, `{"host":"h","from":"x <a@b.c>","to":["d@e.f"]}`,
			`{"host":"h","from":"a@b.c","to":["d@e.f\r\nBcc: g@h.i"]}`, `{"host":"h","from":"a@b.c","to":["d@e.f"],"tls":"none","password":"x"}`,
			`{"host":"h","from":"a@b.c","to":["d@e.f"],"tls":"maybe"}`, `{"host":"h","from":"a@b.c","to":["d@e.f"],"ca":"x"}`},
	} {
		for _, config := range configs {
			if _, err := Kinds(out())[kind].Open([]byte(config)); err == nil {
				t.Errorf("%s takes %s", kind, config)
			}
		}
	}
}

// mailServer speaks SMTP (RFC 5321) with STARTTLS or TLS, and AUTH.
type mailServer struct {
	t        *testing.T
	ln       net.Listener
	tls      *tls.Config
	ca       string
	auth     string // PLAIN or LOGIN
	implicit bool
	got      chan letter
}

type letter struct {
	user, password, from string
	to                   []string
	data                 string
	encrypted            bool
}

func newMailServer(t *testing.T, auth string, implicit bool) *mailServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{t: t, auth: auth, implicit: implicit, got: make(chan letter, 1), ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		tls: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
	if s.ln, err = net.Listen("tcp", "localhost:0"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := s.ln.Accept()
			if err != nil {
				return
			}
			s.talk(conn)
		}
	}()
	t.Cleanup(func() { _ = s.ln.Close(); <-done })
	return s
}

// talk is one session.
func (s *mailServer) talk(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var m letter
	if s.implicit {
		conn, m.encrypted = tls.Server(conn, s.tls), true
	}
	in := bufio.NewReader(conn)
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(conn, format+"\r\n", args...) }
	ask := func(prompt string) string {
		say("334 %s", base64.StdEncoding.EncodeToString([]byte(prompt)))
		line, _ := in.ReadString('\n')
		b, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
		return string(b)
	}
	say("220 mail.test ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-mail.test")
			if !m.encrypted {
				say("250-STARTTLS")
			} else {
				say("250-AUTH %s", s.auth)
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			conn, m.encrypted = tls.Server(conn, s.tls), true
			in = bufio.NewReader(conn)
		case "AUTH":
			way, initial, _ := strings.Cut(rest, " ")
			if way == "PLAIN" {
				b, _ := base64.StdEncoding.DecodeString(initial)
				parts := strings.Split(string(b), "\x00")
				m.user, m.password = parts[1], parts[2]
			} else {
				m.user, m.password = ask("Username:"), ask("Password:")
			}
			if m.password != "right" {
				say("535 5.7.8 no")
				continue
			}
			say("235 welcome")
		case "MAIL":
			m.from = rest
			say("250 ok")
		case "RCPT":
			if strings.Contains(rest, "nobody@") {
				say("550 5.1.1 who?")
				continue
			}
			m.to = append(m.to, rest)
			say("250 ok")
		case "DATA":
			say("354 go on")
			for {
				line, err := in.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				m.data += line
			}
			say("250 taken")
			s.got <- m
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what?")
		}
	}
}

// config is for the server.
func (s *mailServer) config(more map[string]any) map[string]any {
	c := map[string]any{"host": "localhost", "port": s.ln.Addr().(*net.TCPAddr).Port, "user": "hub", "password": "right", "ca": s.ca,
		"from": "hub@example.com", "to": []string{"ops@example.com", "dev@example.com"}}
	if s.implicit {
		c["tls"] = "implicit"
	}
	for k, v := range more {
		c[k] = v
	}
	return c
}

func TestMail(t *testing.T) {
	for _, tt := range []struct {
		auth     string
		implicit bool
	}{{"PLAIN LOGIN", false}, {"LOGIN", false}, {"PLAIN", true}} {
		s := newMailServer(t, tt.auth, tt.implicit)
		if err := open(t, "smtp", s.config(nil)).Send(t.Context(), hot()); err != nil {
			t.Fatalf("%v: %v", tt, err)
		}
		m := <-s.got
		if !m.encrypted || m.user != "hub" || m.password != "right" || !strings.HasPrefix(m.from, "FROM:<hub@example.com>") || len(m.to) != 2 {
			t.Errorf("%v: %+v", tt, m)
		}
		head, body, _ := strings.Cut(m.data, "\r\n\r\n")
		text, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
		if err != nil || !strings.Contains(string(text), "[over] kühl: x") {
			t.Errorf("body %q, %v", text, err)
		}
		for _, want := range []string{"Subject: Hawser: 1 alarms, 1 over", "X-Priority: 1", "Message-ID: <99.", "Auto-Submitted: auto-generated"} {
			if !strings.Contains(head, want) {
				t.Errorf("no %q in\n%s", want, head)
			}
		}
	}
}

func TestMailIsRefused(t *testing.T) {
	s := newMailServer(t, "PLAIN", false)
	for want, more := range map[string]map[string]any{
		"log in at the mail server": {"password": "wrong"},
		"refuses nobody@":           {"to": []string{"nobody@example.com"}},
		"STARTTLS":                  {"ca": newMailServer(t, "PLAIN", false).ca}, // another's certificate
	} {
		if err := open(t, "smtp", s.config(more)).Send(t.Context(), hot()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	// A mailbox that is no more silences nobody else; a test tells of it.
	both := open(t, "smtp", s.config(map[string]any{"to": []string{"nobody@example.com", "ops@example.com"}}))
	if err := both.Send(t.Context(), alarm.Message{Test: true}); err == nil || !strings.Contains(err.Error(), "refuses nobody@") {
		t.Errorf("a test with one that is no more: %v", err)
	}
	if err := both.Send(t.Context(), hot()); err != nil {
		t.Error(err)
	} else if m := <-s.got; len(m.to) != 1 {
		t.Errorf("sent to %q", m.to)
	}
	// A server that says nothing does not hold anybody up for ever.
	silent, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := open(t, "smtp", s.config(map[string]any{"port": silent.Addr().(*net.TCPAddr).Port})).Send(ctx, hot()); err == nil {
		t.Error("sent to nobody")
	}
}
