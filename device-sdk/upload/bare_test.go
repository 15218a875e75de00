package upload

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// TestErrorsWithoutURLs: what a request that fails says ends up in logs, where the token of its URL must not be.
func TestErrorsWithoutURLs(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, _ := http.NewResponseController(w).Hijack()
		_ = c.Close()
	}))
	defer srv.Close()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u := New(Config{Client: srv.Client()}, nil)
	for _, url := range []string{srv.URL + "/put?token=s3cret", "http://127.0.0.1:1/put?token=s3cret", "http://[s3cret"} {
		if _, err := u.send(t.Context(), http.MethodPut, url, http.Header{}, &File{Data: f}, 0, 0); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
