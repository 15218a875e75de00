package s3blob_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/blob/blobtest"
	"github.com/hawser-iot/hawser/cloud/blob/s3blob"
	"github.com/hawser-iot/hawser/testbed/harness"
)

func config(s *harness.S3, prefix string) s3blob.Config {
	return s3blob.Config{Endpoint: s.Addr, Bucket: s.Bucket, Prefix: prefix, AccessKey: s.AccessKey, SecretKey: s.SecretKey, CAs: s.CAs}
}

func open(t *testing.T, c s3blob.Config) *s3blob.Store {
	t.Helper()
	s, err := s3blob.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	server := harness.StartS3(t)
	var n atomic.Int64
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, config(server, fmt.Sprint("store-", n.Add(1)))) })
}

// TestParts puts what is longer than a part, and what is as long as one or two.
func TestParts(t *testing.T) {
	const part = 5 << 20
	c := config(harness.StartS3(t), "")
	c.PartSize = part
	s := open(t, c)
	data := bytes.Repeat([]byte("0123456789abcde"), (2*part+5000)/15+1)
	for i, size := range []int{part - 1, part, part + 1, 2 * part, 2*part + 4321} {
		announced := int64(-1)
		if i%2 == 1 {
			announced = int64(size)
		}
		info, err := s.Put(t.Context(), "big", iotest.HalfReader(bytes.NewReader(data[:size])), announced)
		if err != nil || info.Size != int64(size) {
			t.Fatalf("%d: %+v, %v", size, info, err)
		}
		body, _, err := s.Get(t.Context(), "big", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		if _, err := io.Copy(h, body); err != nil || !bytes.Equal(h.Sum(nil), sum(data[:size])) {
			t.Errorf("%d: other bytes, %v", size, err)
		}
		_ = body.Close()
	}
	broken := errors.New("broken")
	for name, r := range map[string]struct {
		r    io.Reader
		size int64
		want error
	}{"broken": {io.MultiReader(bytes.NewReader(data[:part+5]), iotest.ErrReader(broken)), -1, broken},
		"too long": {bytes.NewReader(data[:part+6]), part + 5, blob.ErrSize}, "too short": {bytes.NewReader(data[:part+4]), part + 5, blob.ErrSize}} {
		if _, err := s.Put(t.Context(), "big", r.r, r.size); !errors.Is(err, r.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := s.Stat(t.Context(), "big"); err != nil || info.Size != 2*part+4321 {
		t.Errorf("after failures: %+v, %v", info, err)
	}
}

func sum(b []byte) []byte { s := sha256.Sum256(b); return s[:] }

// TestAway: a service that is not there, or does not let the hub in, is ErrUnavailable and says what to do.
func TestAway(t *testing.T) {
	server := harness.StartS3(t)
	good := config(server, "")
	s := open(t, good)
	wrong, other, stranger := good, good, good
	wrong.SecretKey, other.Bucket, stranger.CAs = "guessed", "nowhere", nil
	for name, c := range map[string]s3blob.Config{"a wrong key": wrong, "no bucket": other, "an unknown authority": stranger} {
		if _, err := s3blob.Open(t.Context(), c); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Put(t.Context(), "a", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	_, errPut := s.Put(t.Context(), "a", strings.NewReader("y"), 1)
	_, _, errGet := s.Get(t.Context(), "a", 0, -1)
	_, errStat := s.Stat(t.Context(), "a")
	for i, err := range []error{errPut, errGet, errStat, s.Delete(t.Context(), "a")} {
		if !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("method %d: %v", i, err)
		}
	}
	server.Restart()
	if info, err := s.Stat(t.Context(), "a"); err != nil || info.Size != 1 {
		t.Errorf("when it is back: %+v, %v", info, err)
	}
}

// gate hands connections on to a server, and holds all bytes back behind so many of them while it is shut.
type gate struct {
	target string
	shut   atomic.Bool
	after  int64
}

func (g *gate) serve(ln net.Listener) {
	for {
		in, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = in.Close() }()
			out, err := net.Dial("tcp", g.target)
			if err != nil {
				return
			}
			defer func() { _ = out.Close() }()
			go g.pass(out, in)
			g.pass(in, out)
		}()
	}
}

// pass copies; what it was reading when the gate is shut stays there, until its connections are closed.
func (g *gate) pass(to, from net.Conn) {
	for left := g.after; ; {
		n, err := io.CopyN(to, from, 64<<10)
		if err != nil {
			_ = to.Close()
			return
		}
		if left -= n; left < 0 && g.shut.Load() {
			for g.shut.Load() { // who is impatient closes his side, which is not read
				<-time.After(10 * time.Millisecond)
			}
		}
	}
}

// TestStalled: a service that takes, or gives, no more bytes in the middle is ErrUnavailable, and holds nobody for ever.
func TestStalled(t *testing.T) {
	server := harness.StartS3(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{target: server.Addr, after: 1 << 20}
	t.Cleanup(func() { g.shut.Store(false); _ = ln.Close() })
	go g.serve(ln)
	data := make([]byte, 10<<20)
	patient := open(t, config(server, ""))
	if _, err := patient.Put(t.Context(), "a", bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	c := config(server, "")
	c.Endpoint = ln.Addr().String()
	g.shut.Store(false)
	through := open(t, c) // it asks for the bucket
	c.Stall = 500 * time.Millisecond
	hasty := open(t, c)
	g.shut.Store(true)
	if _, err := hasty.Put(t.Context(), "b", bytes.NewReader(data), int64(len(data))); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("put: %v", err)
	}
	body, _, err := hasty.Get(t.Context(), "a", 0, -1)
	if err == nil {
		_, err = io.Copy(io.Discard, body)
		_ = body.Close()
	}
	if !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	g.shut.Store(false)
	if info, err := through.Put(t.Context(), "b", bytes.NewReader(data), int64(len(data))); err != nil || info.Size != int64(len(data)) {
		t.Errorf("when it moves again: %+v, %v", info, err)
	}
}
