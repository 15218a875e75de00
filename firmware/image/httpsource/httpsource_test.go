package httpsource

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/imagetest"
)

var _ image.Source = (*Source)(nil)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestPackOverHTTP(t *testing.T) {
	b := imagetest.Stream("http", 1<<20)
	var pack bytes.Buffer
	p, err := image.WritePack(t.Context(), &pack, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	requests := 0
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		http.ServeContent(w, r, "pack", time.Time{}, bytes.NewReader(pack.Bytes()))
	})
	src, err := Open(t.Context(), http.DefaultClient, url)
	if err != nil {
		t.Fatal(err)
	}
	r, err := image.OpenPack(t.Context(), src, p.Index)
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for no := range p.Index.Chunks {
		all = append(all, no)
	}
	var got []byte
	if err := r.Chunks(t.Context(), all, func(_ int, chunk []byte) error {
		got = append(got, chunk...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b) {
		t.Error("the chunks are not the image")
	}
	if requests != 4 { // size, magic, trailer, all chunks
		t.Errorf("it took %d requests", requests)
	}
}

func TestServersThatDoOtherwise(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   error
	}{
		{"the whole instead", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 10)) }, ErrRange},
		{"another range", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 5-5/10")
			w.WriteHeader(http.StatusPartialContent)
		}, ErrRange},
		{"no total", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-0/*")
			w.WriteHeader(http.StatusPartialContent)
		}, ErrRange},
		{"several parts", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPartialContent) }, ErrRange},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Open(t.Context(), http.DefaultClient, serve(t, tt.answer)); !errors.Is(err, tt.want) {
				t.Errorf("Open: %v, want %v", err, tt.want)
			}
		})
	}
	var status *StatusError
	if _, err := Open(t.Context(), http.DefaultClient, serve(t, http.NotFound)); !errors.As(err, &status) || status.Status != 404 {
		t.Errorf("a missing file: %v", err)
	}
}

// TestFileThatChanges holds that a file which is replaced by one of another length is noticed.
func TestFileThatChanges(t *testing.T) {
	b := make([]byte, 100)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "pack", time.Time{}, bytes.NewReader(b))
	})
	src, err := Open(t.Context(), http.DefaultClient, url)
	if err != nil {
		t.Fatal(err)
	}
	b = make([]byte, 101)
	if _, err := src.Range(t.Context(), 0, 10); !errors.Is(err, ErrRange) {
		t.Errorf("Range: %v, want ErrRange", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := src.Range(ctx, 0, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("Range: %v, want context.Canceled", err)
	}
}
