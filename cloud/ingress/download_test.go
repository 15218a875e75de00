package ingress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob/fileblob"
	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
)

// downloads knows one token.
type downloads struct {
	Download
	encrypted bool // wanted
}

func (d *downloads) Find(_ context.Context, token, path string, encrypted bool) (Download, error) {
	if token != "good" || path != "" && path != "image/default" || d.encrypted && !encrypted {
		return Download{}, ErrNoDownload
	}
	return d.Download, nil
}

// image puts a blob of n bytes behind the token "good".
func (f *fixture) image(t testing.TB, n int) []byte {
	t.Helper()
	data := make([]byte, n)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data)
	blobs, err := fileblob.Open(filepath.Join(t.TempDir(), "blobs"))
	if err == nil {
		_, err = blobs.Put(context.Background(), "image", bytes.NewReader(data), int64(n))
	}
	if err != nil {
		t.Fatal(err)
	}
	f.in.Blobs, f.in.Downloads = blobs, &downloads{Download: Download{Blob: "image", Size: int64(n), ETag: `"e"`}}
	return data
}

// TestRangesOnOneConnection downloads as the stock client does: ranges of 4,097 bytes, one behind the other, on one connection, and
// past the end of the file.
func TestRangesOnOneConnection(t *testing.T) {
	f := newFixture(t)
	data := f.image(t, 4096*1000+17)
	conn, err := net.Dial("tcp", f.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(brokertest.Wait))
	r := bufio.NewReader(conn)
	sum, got := md5.New(), 0
	for got < len(data) {
		if _, err := fmt.Fprintf(conn, "GET /default-2.0.bin?f=good HTTP/1.1\r\nHost: hub\r\nRange: bytes=%d-%d\r\n"+
			"Accept: text/html,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate\r\n\r\n", got, got+4096); err != nil {
			t.Fatal(err)
		}
		head, body := readAnswer(t, r)
		if !strings.HasPrefix(head, "HTTP/1.1 206 Partial Content\r\n") || strings.Contains(head, "Content-Encoding") || len(head) > 900 {
			t.Fatalf("at %d: head %q", got, head)
		}
		if want := min(4097, len(data)-got); len(body) != want {
			t.Fatalf("at %d: %d bytes, want %d", got, len(body), want)
		}
		sum.Write(body)
		got += len(body)
	}
	if want := md5.Sum(data); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("the bytes are not those of the image")
	}
}

// readAnswer reads one answer with a Content-Length.
func readAnswer(t *testing.T, r *bufio.Reader) (head string, body []byte) {
	t.Helper()
	var b strings.Builder
	length := -1
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatalf("head %q: %v", b.String(), err)
		}
		_, _ = fmt.Sscanf(line, "Content-Length: %d", &length)
		b.WriteString(line)
	}
	if length < 0 {
		t.Fatalf("no Content-Length in %q", b.String())
	}
	body = make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		t.Fatal(err)
	}
	return b.String(), body
}

// TestRefusedDownload: whatever is in a body would be flashed, so that a refusal has none.
func TestRefusedDownload(t *testing.T) {
	f := newFixture(t)
	f.image(t, 1000)
	for _, request := range []string{
		"GET /f/bad HTTP/1.1", "GET /x.bin?f=bad HTTP/1.1", "GET /f/good HTTP/1.1\r\nRange: bytes=1000-5096", "POST /f/good HTTP/1.1", "DELETE /f/good HTTP/1.1",
	} {
		head, body := f.raw(t, request+"\r\nHost: hub\r\n\r\n")
		status := strings.SplitN(head, "\r\n", 2)[0]
		if !strings.Contains(head, "\r\nContent-Length: 0\r\n") || body != "" || strings.HasPrefix(status, "HTTP/1.1 2") || len(status) > 30 {
			t.Errorf("%q: head %q, body %q", request, head, body)
		}
	}
	f.in.Downloads.(*downloads).encrypted = true
	if head, body := f.raw(t, "GET /f/good HTTP/1.1\r\nHost: hub\r\n\r\n"); !strings.HasPrefix(head, "HTTP/1.1 404 ") || body != "" {
		t.Errorf("without TLS: %q", head)
	}
}

func TestWholeDownload(t *testing.T) {
	f := newFixture(t)
	data := f.image(t, 100_000)
	res, err := f.srv.Client().Get(f.srv.URL + "/f/good")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || !bytes.Equal(got, data) {
		t.Errorf("status %d, %d bytes, %v", res.StatusCode, len(got), err)
	}
	head, err := f.srv.Client().Head(f.srv.URL + "/f/good")
	if err != nil {
		t.Fatal(err)
	}
	_ = head.Body.Close()
	if head.ContentLength != 100_000 || head.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("HEAD: %d bytes, %v", head.ContentLength, head.Header)
	}
}

func TestRangeOf(t *testing.T) {
	for _, tt := range []struct {
		header      string
		from, n     int64
		partial, ok bool
	}{
		{"", 0, 100, false, true}, {"bytes=0-0", 0, 1, true, true}, {"bytes=90-4186", 90, 10, true, true}, {"bytes=10-", 10, 90, true, true},
		{"bytes=-5", 95, 5, true, true}, {"bytes=-500", 0, 100, true, true}, {"bytes=99-99", 99, 1, true, true}, {"bytes=100-", 0, 0, false, false},
		{"bytes=5-4", 0, 100, false, true}, {"bytes=0-1,5-6", 0, 100, false, true}, {"lines=0-1", 0, 100, false, true}, {"bytes=x-y", 0, 100, false, true},
		{"bytes=-", 0, 100, false, true}, {"bytes=9223372036854775807-", 0, 0, false, false},
	} {
		from, n, partial, ok := rangeOf(tt.header, 100)
		if from != tt.from || n != tt.n || partial != tt.partial || ok != tt.ok {
			t.Errorf("%q: got %d %d %v %v", tt.header, from, n, partial, ok)
		}
	}
}

func FuzzRangeOf(f *testing.F) {
	for _, s := range []string{"bytes=0-4096", "bytes=-1", "bytes=5-", "x"} {
		f.Add(s, int64(1000))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		from, n, _, ok := rangeOf(header, size)
		if ok && (from < 0 || n < 0 || from+n > size || from+n < 0) {
			t.Errorf("%q of %d: %d, %d", header, size, from, n)
		}
	})
}

// TestBelowToken: the files of a release are served by a path below the token, to clients that know HTTP.
func TestBelowToken(t *testing.T) {
	f := newFixture(t)
	data := f.image(t, 1000)
	d := f.in.Downloads.(*downloads)
	for name, set := range map[string]func(){"a blob": func() {}, "bytes at hand": func() { d.Blob, d.Data = "", data }} {
		set()
		for _, tt := range []struct {
			head, status string
			want         []byte
		}{
			{"", "200", data}, {"Range: bytes=10-19\r\n", "206", data[10:20]}, {"Range: bytes=990-\r\n", "206", data[990:]}, {"Range: bytes=1000-\r\n", "416", nil},
			{"Range: bytes=10-19\r\nIf-Range: \"e\"\r\n", "206", data[10:20]}, {"Range: bytes=10-19\r\nIf-Range: \"other\"\r\n", "200", data},
			{"Range: bytes=0-1,5-6\r\n", "200", data},
		} {
			head, body := f.raw(t, "GET /f/good/image/default HTTP/1.1\r\nHost: hub\r\n"+tt.head+"\r\n")
			if !strings.HasPrefix(head, "HTTP/1.1 "+tt.status+" ") || body != string(tt.want) {
				t.Errorf("%s, %q: %q and %d bytes, want %s and %d", name, tt.head, head, len(body), tt.status, len(tt.want))
			}
		}
	}
	if head, body := f.raw(t, "GET /f/good/image/other HTTP/1.1\r\nHost: hub\r\n\r\n"); !strings.HasPrefix(head, "HTTP/1.1 404 ") || body != "" {
		t.Errorf("another path: %q", head)
	}
}

// TestBusy: more downloads than there may be at a time are told to come again.
func TestBusy(t *testing.T) {
	f := newFixture(t)
	f.image(t, 1000)
	for range cap(f.in.downloads) {
		f.in.downloads <- struct{}{}
	}
	if head, body := f.raw(t, "GET /f/good HTTP/1.1\r\nHost: hub\r\n\r\n"); !strings.HasPrefix(head, "HTTP/1.1 503 ") || !strings.Contains(head, "Retry-After: ") || body != "" {
		t.Errorf("busy: %q", head)
	}
	<-f.in.downloads
	if head, _ := f.raw(t, "GET /f/good HTTP/1.1\r\nHost: hub\r\n\r\n"); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		t.Errorf("with room: %q", head)
	}
}

// TestSaved: somebody's file is saved by a browser; small clients get no header that they do not need.
func TestSaved(t *testing.T) {
	f := newFixture(t)
	f.image(t, 10)
	for _, save := range []bool{false, true} {
		f.in.Downloads.(*downloads).Save = save
		resp, err := http.Get(f.srv.URL + "/f/good")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		got := resp.Header.Get("Content-Disposition") + " " + resp.Header.Get("X-Content-Type-Options")
		if want := map[bool]string{false: " ", true: "attachment nosniff"}[save]; resp.StatusCode != http.StatusOK || got != want {
			t.Errorf("save %v: %s, %q, want %q", save, resp.Status, got, want)
		}
	}
}
