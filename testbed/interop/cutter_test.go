package interop

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// cutter passes connections on. Once armed it cuts each a while after the hub's first answer, in both directions at once,
// wherever a packet stands.
type cutter struct {
	addr  string
	armed chan struct{}
	seen  *witness // of what went to the hub

	mu   sync.Mutex // guards the fields below
	left int        // cuts to come
	made int        // connections taken to be cut
}

// cut starts a cutter before addr that will cut n connections, each after a time of its own around life.
func cut(t *testing.T, addr string, n int, life time.Duration) *cutter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{addr: ln.Addr().String(), armed: make(chan struct{}), seen: newWitness(), left: n}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			// Lives differ, so that the cuts fall into every part of a conversation.
			wg.Go(func() { c.pass(in, addr, life/2+life*time.Duration(i%11)/10) })
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return c
}

func (c *cutter) pass(in net.Conn, addr string, life time.Duration) {
	defer in.Close()
	out, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer out.Close()
	over, answered := make(chan struct{}), make(chan struct{})
	defer close(over)
	go func() {
		// A conversation begins when the hub has answered: on a busy machine that alone may take longer than a life.
		for _, begun := range []chan struct{}{answered, c.armed} {
			select {
			case <-begun:
			case <-over:
				return
			}
		}
		if c.take() {
			select {
			case <-time.After(life):
			case <-over:
			}
			in.Close()
			out.Close()
		}
	}()
	done := make(chan struct{}, 2)
	forward := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		in.Close()
		out.Close()
		done <- struct{}{}
	}
	go forward(&watched{Writer: out, w: c.seen}, in)
	go forward(&announcing{Writer: in, first: sync.OnceFunc(func() { close(answered) })}, out)
	<-done
	<-done
}

// announcing tells of each write before it.
type announcing struct {
	io.Writer
	first func()
}

func (a *announcing) Write(b []byte) (int, error) {
	a.first()
	return a.Writer.Write(b)
}

// arm begins the cutting, with the connections that stand.
func (c *cutter) arm() { close(c.armed) }

// take reports whether a connection is one to cut.
func (c *cutter) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return false
	}
	c.left--
	c.made++
	return true
}

func (c *cutter) cuts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made
}
