package harness

import (
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATS starts a NATS server of its own on a free loopback port, as a cluster
// of hubs would use, and returns its URL; it ends with e.
func NATS(e Env) string {
	e.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		e.Fatalf("NATS server: %v", err)
	}
	go srv.Start()
	e.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(time.Minute) {
		e.Fatalf("NATS server not ready within a minute")
	}
	return srv.ClientURL()
}
