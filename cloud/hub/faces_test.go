package hub

import (
	"net/http"
	"strings"
	"testing"
)

// TestFacesOfTheirOwn: a face with an address of its own is there and nowhere else; what tells that the hub is well is everywhere.
func TestFacesOfTheirOwn(t *testing.T) {
	r := run(t, settings(t, map[string]string{"face-addrs": "device=http://127.0.0.1:0,ops=http://127.0.0.1:0"}))
	own := map[string]string{}
	for line := range strings.Lines(r.log.text()) {
		if !strings.Contains(line, "face on its own address") {
			continue
		}
		kv := map[string]string{}
		for _, f := range strings.Fields(line) {
			if k, v, ok := strings.Cut(f, "="); ok {
				kv[k] = v
			}
		}
		own[kv["face"]] = kv["addr"]
	}
	for _, tt := range []struct {
		addr, path string
		want       int
	}{
		{r.addr["http"], "/v1/info", http.StatusUnauthorized},
		{r.addr["http"], "/nonce?device=x", http.StatusNotFound},
		{r.addr["http"], "/metrics", http.StatusNotFound},
		{r.addr["http"], "/healthz", http.StatusOK},
		{own["device"], "/nonce?device=x", http.StatusOK},
		{own["device"], "/v1/info", http.StatusNotFound},
		{own["device"], "/mqtt", http.StatusNotFound},
		{own["device"], "/healthz", http.StatusOK},
		{own["ops"], "/metrics", http.StatusOK},
		{own["ops"], "/nonce?device=x", http.StatusNotFound},
	} {
		res, err := http.Get("http://" + tt.addr + tt.path)
		if err != nil {
			t.Fatalf("%v; faces %v", err, own)
		}
		_ = res.Body.Close()
		if res.StatusCode != tt.want {
			t.Errorf("%s on %s: status %d, want %d", tt.path, tt.addr, res.StatusCode, tt.want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestFaceAddrs(t *testing.T) {
	for _, bad := range []string{"device", "device=:443", "device=ftp://:1", "nobody=http://:80", "device=https://host"} {
		c := DefaultConfig()
		c.FaceAddrs = []string{bad}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "--face-addrs") {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}
