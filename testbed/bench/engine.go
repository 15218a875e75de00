package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// hold is an owner in memory that passes everything on to the one session that subscribes, and acknowledges what that has room for: the rest
// waits, unacknowledged, and with it its publishers.
type hold struct {
	mu      sync.Mutex // guards the fields below
	to      *server.Session
	tag     uint64
	waiting []*server.Publish
}

func (o *hold) Connect(context.Context, *server.Connect) (server.Welcome, error) {
	return server.Welcome{}, nil
}

func (o *hold) Attached(*server.Session) {}

func (o *hold) Subscribe(s *server.Session, req []server.Subscription) ([]byte, error) {
	codes := make([]byte, len(req))
	for i, r := range req {
		codes[i] = r.QoS
	}
	o.mu.Lock()
	o.to = s
	o.mu.Unlock()
	return codes, nil
}

func (o *hold) Unsubscribe(*server.Session, []string) error { return nil }

func (o *hold) Publish(_ *server.Session, p *server.Publish) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting = append(o.waiting, p); len(o.waiting) == 1 {
		o.passLocked()
	}
}

// passLocked passes on what the subscriber takes.
func (o *hold) passLocked() {
	n := 0
	for _, p := range o.waiting {
		m := p.Message()
		o.tag++
		m.Tag, m.Firm = o.tag, true
		if o.to != nil && errors.Is(o.to.Send(m), server.ErrFull) {
			break
		}
		p.Done(nil)
		n++
	}
	o.waiting = append(o.waiting[:0], o.waiting[n:]...)
}

func (o *hold) Delivered(*server.Session, uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) > 0 {
		o.passLocked()
	}
}

func (o *hold) Disconnect(*server.Session, server.Cause) {}

// serveEngine is the process of the engine alone: it says where it listens, and ends with its standard input.
func serveEngine(in io.Reader, out io.Writer) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := server.New(server.DefaultConfig(), &hold{}, slog.New(slog.DiscardHandler))
	go func() { _ = s.Serve(context.Background(), ln, "tcp") }()
	fmt.Fprintln(out, ln.Addr())
	_, err = io.Copy(io.Discard, in)
	return err
}

// engine is that process, seen from a benchmark.
type engine struct {
	addr string
	cmd  *exec.Cmd
}

func startEngine(e *env) *engine {
	self, err := os.Executable()
	must(e, err)
	cmd := exec.Command("taskset", "-c", e.serverCPU, self, "engine")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	must(e, err)
	out, err := cmd.StdoutPipe()
	must(e, err)
	must(e, cmd.Start())
	e.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	must(e, err)
	return &engine{strings.TrimSpace(addr), cmd}
}
