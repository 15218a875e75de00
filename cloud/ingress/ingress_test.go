package ingress

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

type fixture struct {
	*brokertest.Stack
	in  *Ingress
	srv *httptest.Server
	dev *registry.Device
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := door(t, brokertest.New(t, brokertest.Config{Store: storetest.SQLite(t)}))
	f.dev = f.New(t)
	return f
}

// door is one node of a cluster and its HTTP door.
func door(t *testing.T, s *brokertest.Stack) *fixture {
	t.Helper()
	f := &fixture{Stack: s}
	f.in = New(DefaultConfig(), Deps{Auth: s.Auth, Registry: s.Registry, Path: s.Path, Store: s.Store, Ring: storetest.Keyring, Nonces: s.Nonces,
		Authorities: s.Authorities, Requests: s.Downlink, Log: slog.New(slog.DiscardHandler), Metrics: s.Metrics})
	f.srv = httptest.NewServer(f.in)
	t.Cleanup(f.srv.Close)
	return f
}

type answer struct {
	RetCode                   int
	Message, Token, MessageID string
	raw                       string
}

// raw speaks HTTP as a stock client does, on a connection of its own.
func (f *fixture) raw(t *testing.T, request string) (head, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", f.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(brokertest.Wait))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	var b strings.Builder
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("head %q: %v", b.String(), err)
		}
		b.WriteString(line)
		if _, err := fmt.Sscanf(line, "Content-Length: %d", &length); err != nil && line == "\r\n" {
			break
		}
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		t.Fatal(err)
	}
	return b.String(), string(text)
}

func (f *fixture) post(t *testing.T, path string, header http.Header, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.srv.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Path, req.URL.RawQuery, _ = strings.Cut(path, "?")
	req.Header = header
	res, err := f.srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v", path, res.StatusCode, err)
	}
	a := answer{raw: string(text)}
	if err := json.Unmarshal(text, &a); err != nil || len(text) < minBody {
		t.Fatalf("%s: body %q: %v", path, text, err)
	}
	return a
}

func (f *fixture) authBody(extra string) string {
	return fmt.Sprintf(`{"ProductSN":%q,"DeviceSN":%q%s}`, f.dev.Identity.Product, f.dev.Identity.SN, extra)
}

func (f *fixture) auth(t *testing.T, body string) answer {
	t.Helper()
	return f.post(t, "/auth", http.Header{"Authorization": {credential.SignBody(f.dev.Secret, []byte(body))}}, body)
}

func TestAuth(t *testing.T) {
	f := newFixture(t)
	now := time.Now().UnixMilli()
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"no timestamp":     {f.authBody(""), 0},
		"number":           {f.authBody(fmt.Sprintf(`,"Timestamp":%d`, now)), 0},
		"string":           {f.authBody(fmt.Sprintf(`,"Timestamp":"%d"`, now)), 0},
		"old":              {f.authBody(fmt.Sprintf(`,"Timestamp":%d`, now-3601_000)), 100070},
		"garbage time":     {f.authBody(`,"Timestamp":"now"`), 100070},
		"no JSON":          {`hello`, 230},
		"no device":        {`{"ProductSN":"` + f.dev.Identity.Product + `"}`, 210},
		"unknown device":   {`{"ProductSN":"` + f.dev.Identity.Product + `","DeviceSN":"nobody"}`, 100071},
		"unknown product":  {`{"ProductSN":"0000000000000000","DeviceSN":"nobody"}`, 100071},
		"malformed device": {`{"ProductSN":"x","DeviceSN":"y"}`, 230},
		"too long":         {f.authBody(strings.Repeat(" ", maxAuthBody)), 100076},
	} {
		t.Run(name, func(t *testing.T) {
			a := f.auth(t, c.body)
			if a.RetCode != c.want || (a.Token != "") != (c.want == 0) || len(a.Token) > 200 {
				t.Errorf("got %s, want RetCode %d", a.raw, c.want)
			}
		})
	}
	body := f.authBody("")
	if a := f.post(t, "/auth", http.Header{"Authorization": {strings.Repeat("0", 64)}}, body); a.RetCode != 171 {
		t.Errorf("wrong signature: %s", a.raw)
	}
	if _, err := f.Registry.SetEnabled(t.Context(), f.dev.Identity, false); err != nil {
		t.Fatal(err)
	}
	if a := f.auth(t, body); a.RetCode != 100072 {
		t.Errorf("disabled device: %s", a.raw)
	}
}

// TestDisabledToken: a token from before is refused as soon as its device is disabled.
func TestDisabledToken(t *testing.T) {
	f := newFixture(t)
	token, upload := f.auth(t, f.authBody("")).Token, "/topic"+topic.Name(f.dev.Identity, "upload")
	if a := f.post(t, upload, http.Header{"Password": {token}}, `{}`); a.RetCode != 0 {
		t.Fatalf("before: %s", a.raw)
	}
	if _, err := f.Registry.SetEnabled(t.Context(), f.dev.Identity, false); err != nil {
		t.Fatal(err)
	}
	if a := f.post(t, upload, http.Header{"Password": {token}}, `{}`); a.RetCode != 100072 {
		t.Errorf("after: %s", a.raw)
	}
}

func TestPublish(t *testing.T) {
	f := newFixture(t)
	token := f.auth(t, f.authBody("")).Token
	upload := topic.Name(f.dev.Identity, "upload")
	for _, path := range []string{"/topic" + upload, "/topic/" + upload} { // one slash and two
		a := f.post(t, path, http.Header{"Password": {token}}, `{"n":1}`)
		if a.RetCode != 0 || len(a.MessageID) < 18 || a.Message != "Success" {
			t.Errorf("%s: %s", path, a.raw)
		}
	}
	if seen := f.Rules.Of(upload); len(seen) != 2 {
		t.Errorf("rules saw %d messages, want 2", len(seen))
	}
	other := f.Device(t, f.Product(t, registry.NewProduct{}), "dev-0002")
	for name, c := range map[string]struct {
		path, token, body string
		want              int
	}{
		"no token":      {"/topic" + upload, "", `{}`, 210},
		"bad token":     {"/topic" + upload, token[:len(token)-2] + "AA", `{}`, 100073},
		"foreign topic": {"/topic" + topic.Name(other.Identity, "upload"), token, `{}`, 100075},
		"sub topic":     {"/topic" + topic.Name(f.dev.Identity, "set"), token, `{}`, 100075},
		"parse":         {"/topic" + upload + "?parse=true", token, `{}`, 100075},
		"too long":      {"/topic" + upload, token, strings.Repeat("x", 128<<10+1), 100076},
		"largest":       {"/topic" + upload, token, strings.Repeat("x", 128<<10), 0},
		"nobody's kind": {"/topic" + topic.System(f.dev.Identity, topic.PropertyPost), token, `{}`, 100075},
	} {
		if a := f.post(t, c.path, http.Header{"Password": {c.token}}, c.body); a.RetCode != c.want {
			t.Errorf("%s: %s, want RetCode %d", name, a.raw, c.want)
		}
	}
	brokertest.Eventually(t, "last seen moves", func() bool {
		var at, state int64
		err := f.Store.QueryRow(t.Context(), `SELECT last_seen, state FROM device WHERE id = ?`, f.dev.ID).Scan(&at, &state)
		return err == nil && at > 0 && state == int64(registry.Inactive)
	})
}

func TestTokenDies(t *testing.T) {
	f := newFixture(t)
	token := f.auth(t, f.authBody("")).Token
	path := "/topic" + topic.Name(f.dev.Identity, "upload")
	f.in.now = func() time.Time { return time.Now().Add(7*24*time.Hour + time.Second) }
	if a := f.post(t, path, http.Header{"Password": {token}}, `{}`); a.RetCode != 100074 {
		t.Errorf("after 7 days: %s", a.raw)
	}
	f.in.now = time.Now
	if _, err := f.Registry.Reset(t.Context(), f.dev.Identity, true); err != nil {
		t.Fatal(err)
	}
	if a := f.post(t, path, http.Header{"Password": {token}}, `{}`); a.RetCode != 100073 {
		t.Errorf("after a new secret: %s", a.raw)
	}
}

// TestTokenOverKeys: a token outlives a restart and a change of keys, and ends with the key that signed it.
func TestTokenOverKeys(t *testing.T) {
	f := newFixture(t)
	file := filepath.Join(t.TempDir(), "keyring")
	ring, err := keyring.Load(file, "")
	if err == nil {
		err = ring.Keep()
	}
	if err != nil {
		t.Fatal(err)
	}
	f.in.tokens.ring = ring
	token, path := f.auth(t, f.authBody("")).Token, "/topic"+topic.Name(f.dev.Identity, "upload")
	send := func(what string, want int) {
		t.Helper()
		if a := f.post(t, path, http.Header{"Password": {token}}, `{}`); a.RetCode != want {
			t.Errorf("%s: %s, want RetCode %d", what, a.raw, want)
		}
	}
	old := ring.Sealing()
	if _, err := ring.Add(); err != nil {
		t.Fatal(err)
	}
	send("with a standby key", 0)
	if _, err := ring.Activate(); err != nil {
		t.Fatal(err)
	}
	send("after the change", 0)
	if f.in.tokens.ring, err = keyring.Load(file, ""); err != nil {
		t.Fatal(err)
	}
	send("after a restart", 0)
	if fresh := f.auth(t, f.authBody("")).Token; fresh == token {
		t.Error("the new token is signed with the old key")
	}
	if err := f.in.tokens.ring.Remove(old); err != nil {
		t.Fatal(err)
	}
	send("without the key that signed it", 100073)
}

// TestDeletedToken: a token ends with its device.
func TestDeletedToken(t *testing.T) {
	f := newFixture(t)
	token := f.auth(t, f.authBody("")).Token
	if err := f.Registry.DeleteDevice(t.Context(), f.dev.Identity); err != nil {
		t.Fatal(err)
	}
	a := f.post(t, "/topic"+topic.Name(f.dev.Identity, "upload"), http.Header{"Password": {token}}, `{}`)
	if a.RetCode != 100073 {
		t.Errorf("%s", a.raw)
	}
}

// TestNotStored: what cannot be stored is not said to be.
func TestNotStored(t *testing.T) {
	f := newFixture(t)
	token := f.auth(t, f.authBody("")).Token
	path := topic.Name(f.dev.Identity, "upload")
	f.Path.Store = deadStore{}
	a := f.post(t, "/topic"+path, http.Header{"Password": {token}}, `{"n":1}`)
	if a.RetCode != 100077 || a.MessageID != "" {
		t.Errorf("%s, want RetCode 100077", a.raw)
	}
}

// deadStore cannot store anything.
type deadStore struct{}

func (deadStore) Submit(u *store.Unit) { u.Done(store.ErrUnavailable) }

// TestStockClient sends what the stock C client sends, oddities included, and checks what it can parse.
func TestStockClient(t *testing.T) {
	f := newFixture(t)
	body := f.authBody("")
	head, text := f.raw(t, "POST /auth HTTP/1.1\r\nHost: hub\r\nbody:"+body+"\r\nContent-Type: application/json\r\nAuthorization:"+
		credential.SignBody(f.dev.Secret, []byte(body))+"\r\nContent-Type: application/json\r\nContent-Length: "+fmt.Sprint(len(body))+"\r\n\r\n"+body)
	if !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") || len(head) > 900 || !strings.Contains(head, "\r\nContent-Length: ") || strings.Contains(head, "chunked") {
		t.Errorf("head %q", head)
	}
	if !strings.HasPrefix(text, `{"RetCode":0,"Message":"Success","Token":"`) {
		t.Errorf("body %s", text)
	}
	head, text = f.raw(t, "GET /topic//x/y HTTP/1.1\r\nHost: hub\r\n\r\n")
	if reason := strings.SplitN(strings.SplitN(head, "\r\n", 2)[0], " ", 3)[2]; len(reason) > 17 || len(text) < minBody {
		t.Errorf("reason %q, body %q", reason, text)
	}
}

// TestLongestToken: the largest device id there can be fits into 200 bytes.
func TestLongestToken(t *testing.T) {
	tk := &tokens{ring: keyring.New()}
	d := &registry.Device{ID: 1<<63 - 1, Identity: ident.Device{}, Secret: credential.NewSecret()}
	token := tk.issue(d, time.Now().Add(time.Hour))
	if len(token) > maxToken {
		t.Errorf("token of %d bytes", len(token))
	}
	c, code := tk.verify(token, time.Now())
	if c.device != d.ID || !code.OK() || !c.of(d) {
		t.Errorf("verify: %+v, %d", c, code)
	}
}

func FuzzVerify(f *testing.F) {
	tk := &tokens{ring: keyring.New()}
	good := tk.issue(&registry.Device{ID: 7, Secret: "0123456789abcdef"}, time.Unix(1<<40, 0))
	for _, s := range []string{good, good[:50], "a.b.c", "..", "", jwtHeader + ".."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, code := tk.verify(s, time.Unix(0, 0)); code.OK() && s != good {
			t.Errorf("accepted %q", s)
		}
	})
}

func FuzzParseAuth(f *testing.F) {
	for _, s := range []string{`{"ProductSN":"0000000000000000","DeviceSN":"dev-1","Timestamp":"1"}`, `{"Timestamp":1e300}`, `[]`, "\xa1\x61a\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if req, code, _ := parseAuth(b); code.OK() && req.device.Check() != nil {
			t.Errorf("accepted %q", b)
		}
	})
}

// TestNonceAndCertificate: what a device without a clock and one with an old certificate ask for.
func TestNonceAndCertificate(t *testing.T) {
	f := newFixture(t)
	_, body := f.raw(t, "GET /nonce?device="+f.dev.Identity.ClientID()+" HTTP/1.1\r\nHost: hub\r\n\r\n")
	var n struct {
		RetCode int
		Nonce   string
	}
	if err := json.Unmarshal([]byte(body), &n); err != nil || n.RetCode != 0 {
		t.Fatalf("nonce: %s, %v", body, err)
	}
	if err := f.Nonces.Take(t.Context(), f.dev.Identity, f.dev.ID, n.Nonce); err != nil {
		t.Errorf("the nonce: %v", err)
	}
	if _, body := f.raw(t, "GET /nonce?device=x HTTP/1.1\r\nHost: hub\r\n\r\n"); !strings.Contains(body, `"RetCode":230`) {
		t.Errorf("nonce of nobody: %s", body)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	request, err := json.Marshal(map[string]string{"ProductSN": f.dev.Identity.Product, "DeviceSN": f.dev.Identity.SN, "CSR": string(csr)})
	if err != nil {
		t.Fatal(err)
	}
	if a := f.post(t, "/certificate", http.Header{"Authorization": {"00"}}, string(request)); a.RetCode != 171 {
		t.Errorf("wrong signature: %s", a.raw)
	}
	a := f.post(t, "/certificate", http.Header{"Authorization": {credential.SignBody(f.dev.Secret, request)}}, string(request))
	var c struct{ Certificate string }
	if err := json.Unmarshal([]byte(a.raw), &c); err != nil || a.RetCode != 0 {
		t.Fatalf("certificate: %s, %v", a.raw, err)
	}
	block, _ := pem.Decode([]byte(c.Certificate))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || leaf.Subject.CommonName != f.dev.Identity.ClientID() || !key.PublicKey.Equal(leaf.PublicKey) {
		t.Fatalf("certificate %v, %v", leaf, err)
	}
	// By the certificate alone, for the next one.
	web := httptest.NewUnstartedServer(f.in)
	web.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	web.StartTLS()
	defer web.Close()
	client := web.Client()
	client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}
	res, err := client.Post(web.URL+"/certificate", "application/json", bytes.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(text), `"RetCode":0`) {
		t.Errorf("renewal by certificate: %s, %v", text, err)
	}
}
