package scenario

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/mongowire"
)

// Servers that are libraries run as processes of their own, so that they can be killed and paused: this test binary with these in
// its environment.
const (
	peerKind       = "HAWSER_TEST_PEER"
	peerAddr       = "HAWSER_TEST_PEER_ADDR"
	peerDir        = "HAWSER_TEST_PEER_DIR"
	peerAdvertised = "HAWSER_TEST_PEER_ADVERTISED" // where a Kafka broker says that it is
)

// peer is such a process.
type peer struct {
	*harness.Process
	addr, dir string
}

// start starts the peer at its address, with its folder; both are made when there are none.
func (p *peer) start(t *testing.T, kind string, env ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if p.addr == "" {
		p.addr, p.dir = harness.FreeAddr(t), t.TempDir()
	}
	p.Process = harness.StartProcess(t, harness.Command{Path: self, Ready: harness.ReadyAt(p.addr),
		Env: append([]string{peerKind + "=" + kind, peerAddr + "=" + p.addr, peerDir + "=" + p.dir}, env...)})
}

// runPeer serves until it is killed.
func runPeer(kind, addr, dir string) error {
	switch kind {
	case "kafka":
		return runKafka(addr, dir)
	case "mongodb":
		return runMongo(addr, dir)
	case "nats":
		return runNATS(addr, dir)
	}
	return fmt.Errorf("no peer %q", kind)
}

func runMongo(addr, dir string) error {
	s, err := mongowire.New(mongowire.Options{Dir: dir, User: "hub", Password: "geheim"})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return s.Serve(ln)
}

func runNATS(addr, dir string) error {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{Host: a.IP.String(), Port: a.Port, NoLog: true, NoSigs: true, JetStream: true, StoreDir: dir})
	if err != nil {
		return err
	}
	s.Start()
	s.WaitForShutdown()
	return errors.New("the NATS server has ended")
}

// advertised is a listener that says that it is somewhere else: clients of Kafka go where the brokers say they are.
type advertised struct {
	net.Listener
	addr net.Addr
}

func (a advertised) Addr() net.Addr { return a.addr }

func runKafka(addr, dir string) error {
	listen := func(network, _ string) (net.Listener, error) {
		ln, err := net.Listen(network, addr)
		if where := os.Getenv(peerAdvertised); err == nil && where != "" {
			a, err := net.ResolveTCPAddr(network, where)
			if err != nil {
				return nil, err
			}
			return advertised{ln, a}, nil
		}
		return ln, err
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "readings"), kfake.ListenFn(listen), kfake.DataDir(dir), kfake.SyncWrites())
	if err != nil {
		return err
	}
	defer c.Close()
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM)
	<-ch
	return nil
}

// until polls cond as long as it takes, a minute at most.
func until(t *testing.T, what string, cond func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(50 * time.Millisecond) {
		if err = cond(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}
