package scenario

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/hawser-iot/hawser/testbed/boot"
	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/transfer"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(receiverAddr); addr != "" {
		fmt.Fprintln(os.Stderr, runReceiver(addr, os.Getenv(receiverFile)))
		os.Exit(1)
	}
	if kind := os.Getenv(peerKind); kind != "" {
		fmt.Fprintln(os.Stderr, runPeer(kind, os.Getenv(peerAddr), os.Getenv(peerDir)))
		os.Exit(1)
	}
	if spec := os.Getenv(subscriberEnv); spec != "" {
		fmt.Fprintln(os.Stderr, runSubscriber(spec))
		os.Exit(1)
	}
	transfer.Main()
	if boot.Forwarded() {
		os.Exit(0)
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil { // see beside: they wait, mostly
		panic(err)
	}
	code := m.Run()
	harness.RemoveBinaries()
	os.Exit(code)
}

// beside runs a test beside others, in its short form, which waits more than it works.
func beside(t *testing.T) {
	t.Helper()
	if !harness.Long() {
		t.Parallel()
	}
}
