package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is a program that the demo started; its output is in a file.
type process struct {
	name  string
	log   string // the file
	pid   int
	lines chan string   // its output, until somebody has seen what he waits for
	ended chan struct{} // closed when it has ended
	err   error         // how it ended; valid once ended is closed
}

// startProcess runs a program in a process group of its own, so that a Ctrl-C on
// the terminal reaches only the demo, which then ends its programs in order.
func startProcess(name, logFile, bin string, args ...string) (*process, error) {
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("%s: %w (make build builds it)", name, err)
	}
	f, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		f.Close()
		return nil, err
	}
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = processAttributes()
	p := &process{name: name, log: logFile, lines: make(chan string, 256), ended: make(chan struct{})}
	started := make(chan error, 1)
	go p.own(cmd, w, started)
	go p.read(r, f)
	return p, <-started
}

// own starts the program and waits for it on one thread: on Linux a program
// started with a death signal gets it when the thread that started it ends.
func (p *process) own(cmd *exec.Cmd, w io.Closer, started chan<- error) {
	runtime.LockOSThread()
	defer close(p.ended)
	err := cmd.Start()
	w.Close()
	if err != nil {
		started <- fmt.Errorf("start %s: %w", p.name, err)
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	p.err = cmd.Wait()
}

// read copies the output into the log file and, while there is room, to lines.
func (p *process) read(r io.ReadCloser, f io.WriteCloser) {
	defer close(p.lines)
	defer f.Close()
	defer r.Close()
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		fmt.Fprintln(f, sc.Text())
		select {
		case p.lines <- sc.Text():
		default: // nobody waits for lines any more
		}
	}
	_, _ = io.Copy(io.Discard, r)
}

// waitLine returns the first line of output that holds part.
func (p *process) waitLine(ctx context.Context, part string) (string, error) {
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return "", p.died()
			}
			if strings.Contains(line, part) {
				return line, nil
			}
		case <-ctx.Done():
			return "", fmt.Errorf("%s: %w while waiting for it to be ready; see %s", p.name, ctx.Err(), p.log)
		}
	}
}

// died describes an end that was not asked for, with the last words.
func (p *process) died() error {
	<-p.ended
	b, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	last := lines[max(0, len(lines)-5):]
	err := p.err
	if err == nil {
		err = errors.New("exit code 0")
	}
	return fmt.Errorf("%s ended: %w; the end of %s:\n  %s", p.name, err, p.log, strings.Join(last, "\n  "))
}

// stop asks the program to end and kills it when it does not in time.
func (p *process) stop(patience time.Duration) error {
	if p == nil || p.pid == 0 {
		return nil
	}
	select {
	case <-p.ended:
		return nil
	default:
	}
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("%s ended badly: %w; see %s", p.name, p.err, p.log)
		}
		return nil
	case <-timer.C:
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		<-p.ended
		return fmt.Errorf("%s did not end in %s and was killed; see %s", p.name, patience, p.log)
	}
}

// value returns key=value's value of a log line.
func value(line, key string) string {
	for _, f := range strings.Fields(line) {
		if v, ok := strings.CutPrefix(f, key+"="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

// beside returns the path of a binary: as asked, else beside this program, else
// in ./bin, for `go run`.
func beside(asked, name string) string {
	if asked != "" {
		return asked
	}
	if exe, err := os.Executable(); err == nil {
		if path := filepath.Join(filepath.Dir(exe), name); exists(path) {
			return path
		}
	}
	return filepath.Join("bin", name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
