package harness

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command says how a server that we did not write is started, and restarted.
type Command struct {
	Path string
	Args []string
	Env  []string // further KEY=value
	Dir  string
	User *syscall.Credential // nil: as this process
	// Ready is nil once the server can be used; it is asked until then, for a minute at most. ReadyAt makes one of an address.
	Ready func() error
}

// ReadyAt is ready when something accepts connections at addr.
func ReadyAt(addr string) func() error {
	return func() error {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// Process is a server with whatever children it starts. It ends with the Env that it was started for. Its methods must not
// be called from several goroutines at once.
type Process struct {
	env  Env
	spec Command
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	out  tailBuffer
}

// StartProcess starts c and waits until it is ready.
func StartProcess(e Env, c Command) *Process {
	e.Helper()
	p := &Process{env: e, spec: c}
	e.Cleanup(p.Kill)
	p.Restart()
	return p
}

// Restart starts the server again as it was started before; it must have ended.
func (p *Process) Restart() {
	p.env.Helper()
	p.cmd = exec.Command(p.spec.Path, p.spec.Args...)
	p.cmd.Dir, p.cmd.Env = p.spec.Dir, append(os.Environ(), p.spec.Env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	// A group of its own, so that the server's children are paused and killed with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.spec.User}
	if err := startChild(p.cmd); err != nil {
		p.env.Fatalf("%v", err)
	}
	done := make(chan struct{})
	p.done = done
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // killed, mostly
		close(done)
	}(p.cmd)
	for deadline := time.Now().Add(time.Minute); p.spec.Ready != nil; <-time.After(20 * time.Millisecond) {
		err := p.spec.Ready()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.env.Fatalf("%s is not ready after a minute: %v\n%s", p.spec.Path, err, p.out.String())
		}
	}
}

// Pause stops the server with SIGSTOP: it holds its connections and answers nothing.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

// Kill ends the server with SIGKILL and waits for it.
func (p *Process) Kill() {
	if p.done == nil {
		return
	}
	p.signal(syscall.SIGKILL)
	<-p.done
}

// PID is the server's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is the end of what the server has written.
func (p *Process) Output() string { return p.out.String() }

func (p *Process) signal(s syscall.Signal) {
	select {
	case <-p.done: // the number may be another's by now
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, s)
	}
}

// tailBuffer keeps the last bytes that were written to it.
type tailBuffer struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 16 << 10

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if extra := len(t.b) - tailBytes; extra > 0 {
		t.b = append(t.b[:0], t.b[extra:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
