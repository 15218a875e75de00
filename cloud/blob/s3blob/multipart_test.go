package s3blob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/testbed/harness"
)

func partOf(no int, data []byte) blob.Part {
	return blob.Part{No: no, Size: int64(len(data)), SHA256: sha256.Sum256(data)}
}

// TestMultipart puts one part through a pre-signed URL and one through the hub's own request, over a second opening of the store.
func TestMultipart(t *testing.T) {
	server := harness.StartS3(t)
	s := open(t, config(server, "x"))
	first, last := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16), []byte("the end")
	id, err := s.Begin(t.Context(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: server.CAs, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(client.CloseIdleConnections)
	url, header, err := s.PartURL(t.Context(), "a/b", id, partOf(1, first), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	put := func(url string, header http.Header, data []byte) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header.Clone()
		resp, err := client.Do(req)
		if err != nil {
			t.Log(err) // a service may refuse before it has read the body
			return 0
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Log(err)
		}
		return resp.StatusCode
	}
	wrong := bytes.Clone(first)
	wrong[77]++
	if put(url, header, wrong) == http.StatusOK {
		t.Error("other bytes were taken")
	}
	if put(url, header, first[:len(first)-1]) == http.StatusOK {
		t.Error("a short part was taken")
	}
	if put(url, http.Header{}, first) == http.StatusOK {
		t.Error("a part without its checksum was taken")
	}
	if list, err := s.Parts(t.Context(), "a/b", id); err != nil || len(list) != 0 {
		t.Errorf("after refusals: %+v, %v", list, err)
	}
	if got := put(url, header, first); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	again := open(t, config(server, "x"))
	if err := again.PutPart(t.Context(), "a/b", id, partOf(2, last), bytes.NewReader(last)); err != nil {
		t.Fatal(err)
	}
	list, err := again.Parts(t.Context(), "a/b", id)
	if err != nil || len(list) != 2 || list[0].SHA256 != sha256.Sum256(first) || list[1].Size != int64(len(last)) {
		t.Fatalf("parts %+v, %v", list, err)
	}
	if _, err := s.Stat(t.Context(), "a/b"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("before it is assembled: %v", err)
	}
	if err := again.Assemble(t.Context(), "a/b", id, list); err != nil {
		t.Fatal(err)
	}
	if info, err := s.Stat(t.Context(), "a/b"); err != nil || info.Size != int64(len(first)+len(last)) {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := s.Parts(t.Context(), "a/b", id); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("parts of an attempt that has ended: %v", err)
	}
	other, err := s.Begin(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Abort(context.WithoutCancel(t.Context()), "c", other); err != nil {
			t.Errorf("abort: %v", err)
		}
	}
}
