package ingress

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob/fileblob"
)

// BenchmarkRanges downloads in ranges of 4,097 bytes on one connection, as stock devices do; an operation is one range. The CPU is that
// of both sides.
func BenchmarkRanges(b *testing.B) { benchmarkDownload(b, 4097) }

// BenchmarkWhole downloads 16 MiB at once.
func BenchmarkWhole(b *testing.B) { benchmarkDownload(b, 16<<20) }

func benchmarkDownload(b *testing.B, n int64) {
	data := make([]byte, 16<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data)
	blobs, err := fileblob.Open(filepath.Join(b.TempDir(), "blobs"))
	if err == nil {
		_, err = blobs.Put(context.Background(), "image", bytes.NewReader(data), int64(len(data)))
	}
	if err != nil {
		b.Fatal(err)
	}
	in := New(DefaultConfig(), Deps{Blobs: blobs, Downloads: &downloads{Download: Download{Blob: "image", Size: int64(len(data)), ETag: `"e"`}}})
	srv := httptest.NewServer(in)
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	buf := make([]byte, 64<<10)
	began := cpu()
	b.SetBytes(n)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		from := int64(i) * n % (int64(len(data)) - n + 1)
		if _, err := fmt.Fprintf(conn, "GET /x.bin?f=good HTTP/1.1\r\nHost: h\r\nRange: bytes=%d-%d\r\n\r\n", from, from+n-1); err != nil {
			b.Fatal(err)
		}
		for left := int64(-1); left != 0; {
			k, err := conn.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			if left < 0 {
				left = n + int64(bytes.Index(buf[:k], []byte("\r\n\r\n"))+4)
			}
			left -= int64(k)
		}
	}
	b.StopTimer()
	gib := float64(n) * float64(b.N) / (1 << 30)
	b.ReportMetric((cpu()-began).Seconds()/gib, "cpu-s/GiB")
}

// cpu is what this process has used of it.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
