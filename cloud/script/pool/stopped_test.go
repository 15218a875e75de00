//go:build unix

package pool_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/script/wire"
)

// TestStopped: a process that does not move is killed; the call that it had is held to have taken too long, those behind it are run.
func TestStopped(t *testing.T) {
	c := config()
	c.Wall, c.Grace, c.Workers = 10*time.Second, 500*time.Millisecond, 1 // long enough for the others on a busy machine
	p := run(t, c)
	s := script("good", echo)
	for range 10 {
		if r, err := call(p, s, "x"); err != nil || r.Status != wire.OK {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	for _, pid := range children(t) {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	var all []<-chan end
	for range 5 {
		all = append(all, submit(p, s, "x"))
	}
	timeouts := 0
	for _, c := range all {
		switch e := <-c; {
		case e.err != nil:
			t.Error(e.err)
		case e.r.Status == wire.Timeout:
			timeouts++
		case e.r.Status != wire.OK:
			t.Errorf("%+v", e.r)
		}
	}
	if timeouts != 1 {
		t.Errorf("%d of 5 calls took too long", timeouts)
	}
}
