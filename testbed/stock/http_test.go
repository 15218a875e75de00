package stock

import (
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// sign is the Authorization of a body.
func sign(d harness.Credentials, body string) string {
	return credential.SignBody(credential.Secret(d.DeviceSecret), []byte(body))
}

func authBody(d harness.Credentials) string {
	return fmt.Sprintf(`{"ProductSN":"%s","DeviceSN":"%s"}`, d.ProductSN, d.DeviceSN)
}

// token logs in over HTTP as the stock client does: a header "body:" that repeats the body, Content-Type twice, no blank behind
// "Authorization:".
func token(c *client, d harness.Credentials) string {
	c.t.Helper()
	body := authBody(d)
	c.send("POST /auth HTTP/1.1\r\nHost: hub\r\nbody:%s\r\nContent-Type: application/json\r\nAuthorization:%s\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n%s",
		body, sign(d, body), len(body), body)
	_, answer := c.answer()
	if !strings.HasPrefix(answer, `{"RetCode":0,"Message":"Success","Token":"`) {
		c.t.Fatalf("auth: %s", answer)
	}
	token := value(c.t, answer, "Token")
	if len(token) > 200 {
		c.t.Errorf("a token of %d bytes: the buffer has 200", len(token))
	}
	return token
}

// publish sends a message with a token and returns the answer.
func publish(c *client, topic, token, body string) string {
	c.t.Helper()
	c.send("POST /topic%s HTTP/1.1\r\nHost: hub\r\nbody:%s\r\nContent-Type: application/octet-stream\r\nPassword:%s\r\nContent-Length: %d\r\nContent-Type: application/octet-stream\r\n\r\n%s",
		topic, body, token, len(body), body)
	_, answer := c.answer()
	return answer
}

// TestHTTPMessages: login and messages on one connection, over TLS 1.2 and without, with the topic behind one slash and two.
func TestHTTPMessages(t *testing.T) {
	hub, devices := start(t, 1, nil)
	d := devices[0]
	for _, overTLS := range []bool{true, false} {
		c := dial(t, hub, overTLS)
		token := token(c, d)
		for _, topic := range []string{d.Topic("upload"), "/" + d.Topic("upload")} {
			if a := publish(c, topic, token, `{"t":21}`); !strings.HasPrefix(a, `{"RetCode":0,"Message":"Success","MessageID":"`) || len(value(t, a, "MessageID")) < 18 {
				t.Errorf("%s: %s", topic, a)
			}
		}
	}
}

// TestHTTPRefusals: what is refused is answered with status 200 and a RetCode, in a form that the client can read.
func TestHTTPRefusals(t *testing.T) {
	hub, devices := start(t, 2, nil)
	d, other := devices[0], devices[1]
	c := dial(t, hub, false)
	token := token(c, d)
	auth := func(body, signature string) string {
		c.send("POST /auth HTTP/1.1\r\nHost: hub\r\nAuthorization:%s\r\nContent-Length: %d\r\n\r\n%s", signature, len(body), body)
		status, answer := c.answer()
		if status != 200 {
			t.Errorf("status %d", status)
		}
		return answer
	}
	stale := fmt.Sprintf(`{"ProductSN":"%s","DeviceSN":"%s","Timestamp":"%d"}`, d.ProductSN, d.DeviceSN, time.Now().Add(-2*time.Hour).UnixMilli())
	unknown := strings.Replace(authBody(d), d.DeviceSN, "nobody-here", 1)
	for name, tt := range map[string]struct {
		answer func() string
		want   int
	}{
		"signature":     {func() string { return auth(authBody(d), sign(other, authBody(d))) }, 171},
		"timestamp":     {func() string { return auth(stale, sign(d, stale)) }, 100070},
		"nobody":        {func() string { return auth(unknown, sign(d, unknown)) }, 100071},
		"no device":     {func() string { return auth(`{"ProductSN":"x"}`, "00") }, 210},
		"no JSON":       {func() string { return auth(`ProductSN=x`, "00") }, 230},
		"bad token":     {func() string { return publish(c, d.Topic("upload"), token[:len(token)-4]+"AAAA", "{}") }, 100073},
		"no token":      {func() string { return publish(c, d.Topic("upload"), "", "{}") }, 210},
		"other's topic": {func() string { return publish(c, other.Topic("upload"), token, "{}") }, 100075},
		"no such topic": {func() string { return publish(c, d.Topic("nothing/here"), token, "{}") }, 100075},
		"too long": {func() string {
			c := dial(t, hub, false) // the header repeats only what fits
			body := strings.Repeat("x", 128<<10+1)
			c.send("POST /topic%s HTTP/1.1\r\nHost: hub\r\nPassword:%s\r\nContent-Length: %d\r\n\r\n%s", d.Topic("upload"), token, len(body), body)
			_, answer := c.answer()
			return answer
		}, 100076},
	} {
		if a := tt.answer(); !strings.HasPrefix(a, fmt.Sprintf(`{"RetCode":%d,"Message":"`, tt.want)) {
			t.Errorf("%s: %s, want RetCode %d", name, a, tt.want)
		}
	}
	if err := hub.Call("POST", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/disable", nil, nil); err != nil {
		t.Fatal(err)
	}
	if a := publish(c, d.Topic("upload"), token, "{}"); !strings.HasPrefix(a, `{"RetCode":100072,`) {
		t.Errorf("disabled: %s", a)
	}
	if a := auth(authBody(d), sign(d, authBody(d))); !strings.HasPrefix(a, `{"RetCode":100072,`) {
		t.Errorf("disabled, auth: %s", a)
	}
	if err := hub.Call("DELETE", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN, nil, nil); err != nil {
		t.Fatal(err)
	}
	if a := publish(c, d.Topic("upload"), token, "{}"); !strings.HasPrefix(a, `{"RetCode":100073,`) {
		t.Errorf("deleted: %s", a)
	}
}

// TestTokenOutlivesRestartAndNewKeys: a device keeps its token for a week, whatever the operator does with hub and keyring meanwhile.
func TestTokenOutlivesRestartAndNewKeys(t *testing.T) {
	hub, devices := start(t, 1, nil)
	d := devices[0]
	token := token(dial(t, hub, false), d)
	send := func(when string) {
		t.Helper()
		if a := publish(dial(t, hub, false), d.Topic("upload"), token, "{}"); !strings.HasPrefix(a, `{"RetCode":0,`) {
			t.Errorf("%s: %s", when, a)
		}
	}
	if err := hub.Stop(); err != nil {
		t.Fatal(err)
	}
	rotate(t, hub)
	hub.Start()
	send("after a restart with a new key")
	// … and while it runs, which the hub sees within seconds.
	rotate(t, hub)
	send("after a change of keys")
	if err := hub.Call("POST", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/reset", map[string]any{"resetSecret": true}, nil); err != nil {
		t.Fatal(err)
	}
	if a := publish(dial(t, hub, false), d.Topic("upload"), token, "{}"); !strings.HasPrefix(a, `{"RetCode":100073,`) {
		t.Errorf("after a new secret: %s", a)
	}
}

func rotate(t *testing.T, hub *harness.Hub) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), harness.Binary(t, "hub"), "keyring", "rotate", "--data", hub.Data).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestOpenFor15s: the client leaves a connection alone for up to 15 s and then goes on with it.
func TestOpenFor15s(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 15 s")
	}
	hub, devices := start(t, 1, nil)
	c := dial(t, hub, false)
	token := token(c, devices[0])
	_ = c.conn.SetReadDeadline(time.Now().Add(15 * time.Second))
	_, err := c.r.ReadByte()
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("the hub did not wait: %v", err)
	}
	if a := publish(c, devices[0].Topic("upload"), token, "{}"); !strings.HasPrefix(a, `{"RetCode":0,`) {
		t.Errorf("after 15 s: %s", a)
	}
}

// TestUpload: a FileName that is a whole path, "plain/text", Content-MD5 in hex; URL and Authorization within 1,000 bytes, the URL
// within 200 characters and without a port.
func TestUpload(t *testing.T) {
	hub, devices := start(t, 1, nil)
	d := devices[0]
	sink := harness.StartReceiver(t)
	if err := hub.Call("POST", "/v1/rules", map[string]any{"name": "files", "enabled": true, "sql": "SELECT * FROM '/$system/" + d.ProductSN + "/+/upload/document'",
		"actions": []any{map[string]any{"kind": "http", "url": sink.URL}}}, nil); err != nil {
		t.Fatal(err)
	}
	data := strings.Repeat("line of a log\n", 20_000)
	sum := md5.Sum([]byte(data))
	for i, header := range []string{fmt.Sprintf("%x", sum), base64.StdEncoding.EncodeToString(sum[:])} {
		url, authorization := grant(t, dial(t, hub, true), d, "/home/user/logs/device.log", data)
		path := strings.TrimPrefix(url, base)
		c := dial(t, hub, true)
		// Something else than what was announced first: nothing is listed.
		c.send("PUT %s HTTP/1.1\r\nHost: iot.example.com\r\nAuthorization:%s\r\nContent-Type:plain/text\r\nContent-MD5:%s\r\nContent-Length: %d\r\nContent-Type: plain/text\r\n\r\n%s",
			path, authorization, header, len(data), strings.Replace(data, "log", "gol", 1))
		if status, body := c.answer(); status != 400 || !strings.HasPrefix(body, `{"RetCode":230,"ErrMsg":"`) {
			t.Errorf("wrong bytes: %d %s", status, body)
		}
		if n := files(t, hub, d); n != i {
			t.Errorf("%d files, want %d", n, i)
		}
		c.send("PUT %s HTTP/1.1\r\nHost: iot.example.com\r\nAuthorization:%s\r\nContent-Type:plain/text\r\nContent-MD5:%s\r\nContent-Length: %d\r\nContent-Type: plain/text\r\n\r\n%s",
			path, authorization, header, len(data), data)
		if status, body := c.answer(); status != 200 || strings.TrimRight(body, " ") != "{}" {
			t.Errorf("put: %d %s", status, body)
		}
		if n := files(t, hub, d); n != i+1 {
			t.Errorf("%d files, want %d", n, i+1)
		}
	}
	harness.Eventually(t, time.Minute, "rules see the file", func() bool {
		for _, b := range sink.Bodies() {
			if strings.Contains(string(b), `"FileName":"/home/user/logs/device.log"`) {
				return true
			}
		}
		return false
	})
}

// grant asks for a URL as the stock client does.
func grant(t *testing.T, c *client, d harness.Credentials, name, data string) (url, authorization string) {
	t.Helper()
	body := fmt.Sprintf(`{"ProductSN":"%s","DeviceSN":"%s","FileName":"%s","FileSize":%d,"MD5":"%x","Content-Type":"plain/text"}`,
		d.ProductSN, d.DeviceSN, name, len(data), md5.Sum([]byte(data)))
	c.send("POST /api/v1/url HTTP/1.1\r\nHost: iot.example.com\r\nContent-Type: application/json\r\nAuthorization:%s\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n%s",
		sign(d, body), len(body), body)
	_, answer := c.answer()
	if !strings.HasPrefix(answer, `{"RetCode":0,"URL":"`+base+`/`) || len(answer) > 1000 {
		t.Fatalf("url: %s", answer)
	}
	url, authorization = value(t, answer, "URL"), value(t, answer, "Authorization")
	if len(url) > 200 {
		t.Errorf("a URL of %d characters", len(url))
	}
	return url, authorization
}

func files(t *testing.T, hub *harness.Hub, d harness.Credentials) int {
	t.Helper()
	var list struct{ Items []struct{ FileID string } }
	if err := hub.Call("GET", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/files", nil, &list); err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

// TestUploadRefusals: refusals of a file can be read, and the whole of the body may be sent before they are.
func TestUploadRefusals(t *testing.T) {
	hub, devices := start(t, 1, nil)
	d := devices[0]
	data := strings.Repeat("x", 3<<20)
	url, _ := grant(t, dial(t, hub, false), d, "big", data)
	for path, want := range map[string]int{strings.TrimPrefix(url, base): 171, "/f/nothing": 100073} {
		c := dial(t, hub, false)
		c.send("PUT %s HTTP/1.1\r\nHost: hub\r\nAuthorization:wrong\r\nContent-Length: %d\r\n\r\n%s", path, len(data), data)
		if status, body := c.answer(); status != 403 || !strings.HasPrefix(body, fmt.Sprintf(`{"RetCode":%d,"ErrMsg":"`, want)) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for name, tt := range map[string]struct {
		size, sum string
		want      int
	}{
		"too large": {"999999999999", strings.Repeat("0", 32), 220}, "no size": {`""`, strings.Repeat("0", 32), 230}, "bad MD5": {"1", "zz", 230}, "no MD5": {"1", "", 210},
	} {
		c := dial(t, hub, false)
		body := fmt.Sprintf(`{"ProductSN":"%s","DeviceSN":"%s","FileName":"f","FileSize":%s,"MD5":"%s"}`, d.ProductSN, d.DeviceSN, tt.size, tt.sum)
		c.send("POST /api/v1/url HTTP/1.1\r\nHost: hub\r\nAuthorization:%s\r\nContent-Length: %d\r\n\r\n%s", sign(d, body), len(body), body)
		if _, answer := c.answer(); !strings.HasPrefix(answer, fmt.Sprintf(`{"RetCode":%d,`, tt.want)) {
			t.Errorf("%s: %s, want RetCode %d", name, answer, tt.want)
		}
	}
}
