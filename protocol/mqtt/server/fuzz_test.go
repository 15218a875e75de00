package server_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet/packettest"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// FuzzConnection feeds bytes to a connection, bare or behind a CONNECT of 3.1.1 or 5.0: it ends, nothing hangs, and no input makes the
// engine allocate much more than its size.
func FuzzConnection(f *testing.F) {
	for _, g := range packettest.Golden() {
		for _, behind := range []byte{0, packet.V311, packet.V5} {
			f.Add(g.Bytes, behind)
		}
	}
	f.Add([]byte{0x30, 0xff, 0xff, 0x0f, 0, 1, 'a'}, packet.V311) // announces 256 KB
	s := server.New(server.Config{MaxPacket: 256 << 20, StoreTimeout: time.Second}, &owner{}, slog.New(slog.DiscardHandler))
	ln := server.NewMemListener()
	serve(f, s, ln, "mem")
	f.Cleanup(func() { _ = s.Close(context.Background()) })
	f.Fuzz(func(t *testing.T, b []byte, behind byte) {
		if behind == packet.V311 || behind == packet.V5 {
			con := packet.AppendConnect(nil, &packet.Connect{Level: behind, ClientID: []byte("fuzz"), Clean: true})
			b = append(con, b...)
		}
		most := uint64(300_000 + 200*len(b))
		got := feed(t, s, ln, b)
		for range 3 { // other goroutines of the test binary allocate too
			if got > most {
				got = feed(t, s, ln, b)
			}
		}
		if got > most {
			t.Errorf("%d bytes allocated for %d bytes of input", got, len(b))
		}
	})
}

// feed gives b to a connection, waits for its end and returns how many bytes were allocated.
func feed(t *testing.T, s *server.Server, ln dialer, b []byte) uint64 {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	nc, err := ln.Dial()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = nc.Write(b)
		_ = nc.(interface{ CloseWrite() error }).CloseWrite()
	}()
	_ = nc.SetReadDeadline(time.Now().Add(limit))
	sink := make([]byte, 1024)
	for err == nil {
		_, err = nc.Read(sink)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection hangs")
	}
	_ = nc.Close()
	eventually(t, "connection ended", func() bool { return s.Connections() == 0 })
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
