package driver

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// How long a driver may take to end once it was told, and again after SIGTERM.
const (
	stopTimeout = 5 * time.Second
	killTimeout = 2 * time.Second
)

// process is a started program.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	log    *slog.Logger
	wait   time.Duration  // for its end, once it is told
	errors sync.WaitGroup // reading its standard error
	ended  chan struct{}
	err    error // of its end, once ended is closed
	quit   sync.Once
}

// start starts the program in a process group of its own.
func start(c *Config, log *slog.Logger) (*process, error) {
	cmd := exec.Command(c.Command[0], c.Command[1:]...)
	cmd.Dir = c.Dir
	for _, name := range []string{"PATH", "HOME", "LANG", "TZ"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Env = append(cmd.Env, c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err1 := cmd.StdinPipe()
	// Pipes of our own: those of exec would be closed when the program ends, with its last words in them.
	out, outW, err2 := os.Pipe()
	errR, errW, err3 := os.Pipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("driver: %w", err)
	}
	cmd.Stdout, cmd.Stderr = outW, errW
	err := cmd.Start()
	_ = outW.Close()
	_ = errW.Close()
	if err != nil {
		_ = out.Close()
		_ = errR.Close()
		return nil, fmt.Errorf("start the driver: %w", err)
	}
	p := &process{cmd: cmd, in: in, out: out, log: log, wait: c.Stop, ended: make(chan struct{})}
	if err := limit(cmd.Process.Pid, c.Memory); err != nil {
		log.Warn("the driver's memory is not limited", "err", err)
	}
	p.errors.Go(func() { p.complaints(errR) })
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Bounds of what a driver may have logged: lines a second, the rest is counted.
const logRate = 20

// complaints logs what the program writes to its standard error, within bounds.
func (p *process) complaints(r io.ReadCloser) {
	defer r.Close()
	lines := newLines(r)
	var second int64
	var n, left int
	for {
		line, err := lines.next(maxText)
		if err != nil && !errors.Is(err, ErrLong) {
			break
		}
		if now := time.Now().Unix(); now != second {
			if left > 0 {
				p.log.Info("driver wrote more to its standard error", "lines", left)
			}
			second, n, left = now, 0, 0
		}
		if n++; n > logRate {
			left++
			continue
		}
		p.log.Info("driver says", "text", string(line), "cut", err != nil)
	}
}

// stop has the program end: its input ends, then it gets SIGTERM, then SIGKILL.
func (p *process) stop() {
	p.quit.Do(func() {
		_ = p.in.Close()
		for _, step := range []struct {
			wait time.Duration
			then syscall.Signal
		}{{p.wait, syscall.SIGTERM}, {min(p.wait, killTimeout), syscall.SIGKILL}} {
			t := time.NewTimer(step.wait)
			select {
			case <-p.ended:
				t.Stop()
				return
			case <-t.C:
				_ = syscall.Kill(-p.cmd.Process.Pid, step.then)
			}
		}
		<-p.ended
	})
}

// end waits for the program's end, after stop at the latest, and for what it has left behind in its group.
func (p *process) end() error {
	p.stop()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	_ = p.out.Close()
	p.errors.Wait()
	return p.err
}
