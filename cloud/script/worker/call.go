package worker

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"

	"github.com/hawser-iot/hawser/cloud/script/wire"
)

// maxCalls bounds how deep calls of a script may nest.
const maxCalls = 1000

// script is a script that this worker was given.
type script struct {
	source   string
	compiled bool
	program  *goja.Program
	fault    *fault // why it could not be compiled
	prints   bool   // it may use console
}

// fault is how a call failed.
type fault struct {
	status       wire.Status
	line, column int
	reason       string
}

func (f *fault) Error() string { return f.reason }

func faultf(status wire.Status, format string, args ...any) *fault {
	return &fault{status: status, reason: fmt.Sprintf(format, args...)}
}

// sourceName is what a script's own frames are called in stacks.
const sourceName = "script"

// compile compiles once.
func (s *script) compile() (*goja.Program, *fault) {
	if s.compiled {
		return s.program, s.fault
	}
	s.compiled, s.prints = true, strings.Contains(s.source, "console")
	ast, err := parser.ParseFile(nil, sourceName, s.source, 0, parser.WithDisableSourceMaps)
	if err == nil {
		s.program, err = goja.CompileAST(ast, false)
	}
	if err != nil {
		s.fault = syntaxFault(err)
	}
	s.source = ""
	return s.program, s.fault
}

// syntaxFault says where a script cannot be read.
func syntaxFault(err error) *fault {
	f := &fault{status: wire.Syntax, reason: err.Error()}
	var list parser.ErrorList
	var syntax *goja.CompilerSyntaxError
	var reference *goja.CompilerReferenceError
	switch {
	case errors.As(err, &list) && len(list) > 0:
		f.line, f.column, f.reason = list[0].Position.Line, list[0].Position.Column, list[0].Message
	case errors.As(err, &syntax):
		f.at(&syntax.CompilerError)
	case errors.As(err, &reference):
		f.at(&reference.CompilerError)
	}
	return f
}

func (f *fault) at(e *goja.CompilerError) {
	f.reason = e.Message
	if e.File != nil {
		p := e.File.Position(e.Offset)
		f.line, f.column = p.Line, p.Column
	}
}

// call runs one call to its end.
func (w *worker) call(c *wire.Call) *wire.Result {
	r := &wire.Result{Seq: c.Seq}
	s := w.scripts[c.Script]
	if s == nil {
		r.Status, r.Reason = wire.Unknown, "no such script"
		return r
	}
	var before uint64
	if c.Verbose {
		before = allocated()
	}
	m := &machine{rt: goja.New(), kit: w.kit, bounds: &w.bounds}
	w.watch.begin(c.Seq, m.rt)
	body, f := m.run(s, c)
	r.CPU, r.Wall = w.watch.end()
	if c.Verbose {
		r.Memory = allocated() - before
	}
	if c.Verbose || f != nil {
		r.Console = m.console.String()
	}
	if f == nil {
		r.Body = body
		return r
	}
	r.Status, r.Reason, r.Line, r.Column = f.status, f.reason, uint32(max(f.line, 0)), uint32(max(f.column, 0))
	return r
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
