// Package localapi is how commands on the gateway talk to the running agent: a Unix socket that only the agent's user may use, one question and one answer a
// connection, each a line of JSON.
//
//	{"command":"ota status"}                        → {"result":{…}}
//	{"command":"ota consent","args":{"agreed":true}} → {"result":null} or {"error":"…"}
package localapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxLine bounds a question, which may hold a message of 256 KiB in base64; answers come from the agent itself.
const maxLine = 400 << 10

// patience is how long a caller may take to ask.
const patience = 10 * time.Second

// maxCallers bounds how many are answered at a time; others wait.
const maxCallers = 4

// Handler answers a command. args is null when there are none.
type Handler func(ctx context.Context, args json.RawMessage) (any, error)

// maxPath is how long the path of a Unix socket may be.
const maxPath = 107

// ErrPath is returned by Listen for a path that is too long for a socket.
var ErrPath = fmt.Errorf("localapi: the path has more than %d bytes", maxPath)

// Server answers commands.
type Server struct {
	ln       net.Listener
	handlers map[string]Handler
	log      *slog.Logger
}

type question struct {
	Command string          `json:"command"`
	Args    json.RawMessage `json:"args,omitempty"`
}

type answer struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// Listen makes the socket at path. One that an agent has left behind is replaced; the caller knows that no other runs.
func Listen(path string, handlers map[string]Handler, log *slog.Logger) (*Server, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("%w: %s", ErrPath, path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("localapi: %w", err)
	}
	// Nobody else may connect between the making of the socket and its mode.
	old := syscall.Umask(0o177)
	ln, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("localapi: %w", err)
	}
	return &Server{ln, handlers, log}, nil
}

// Close is for a Server that is not Run.
func (s *Server) Close() error { return s.ln.Close() }

// Run answers until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.ln.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	room := make(chan struct{}, maxCallers)
	for {
		c, err := s.ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("localapi: %w", err)
		}
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			defer c.Close()
			s.serve(ctx, c)
		})
	}
}

func (s *Server) serve(ctx context.Context, c net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Now()) })
	defer stop()
	_ = c.SetDeadline(time.Now().Add(patience)) // a socket takes it
	line, err := bufio.NewReader(io.LimitReader(c, maxLine)).ReadBytes('\n')
	if err != nil {
		return
	}
	_ = c.SetDeadline(time.Time{})
	var a answer
	result, err := s.answer(ctx, line)
	if err == nil {
		a.Result, err = json.Marshal(result)
	}
	if err != nil {
		a = answer{Error: err.Error()}
	}
	b, err := json.Marshal(a)
	if err != nil {
		return
	}
	if _, err := c.Write(append(b, '\n')); err != nil {
		s.log.Debug("a command did not wait for its answer", "err", err)
	}
}

func (s *Server) answer(ctx context.Context, line []byte) (any, error) {
	var q question
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, fmt.Errorf("the question is not understood: %w", err)
	}
	h := s.handlers[q.Command]
	if h == nil {
		return nil, fmt.Errorf("the agent does not know %q", q.Command)
	}
	return h(ctx, q.Args)
}

// ErrNotRunning is returned by Call when no agent listens.
var ErrNotRunning = errors.New("localapi: the agent does not run")

// Call asks the agent that listens at path, and puts the result into out unless it is nil.
func Call(ctx context.Context, path, command string, args, out any) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("localapi: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	q := question{Command: command}
	if args != nil {
		if q.Args, err = json.Marshal(args); err != nil {
			return err
		}
	}
	if err := json.NewEncoder(c).Encode(q); err != nil {
		return fmt.Errorf("localapi: %w", err)
	}
	var a answer
	if err := json.NewDecoder(c).Decode(&a); err != nil {
		return fmt.Errorf("localapi: %w", err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(a.Result, out)
}
