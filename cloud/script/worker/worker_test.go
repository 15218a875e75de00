package worker_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/script/wire"
	"github.com/hawser-iot/hawser/cloud/script/worker"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "script-worker" {
		os.Exit(worker.Main(os.Stdin, os.Stdout, os.Exit))
	}
	os.Exit(m.Run())
}

// process is a worker of its own.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *wire.Reader
	seq   uint64
	errs  strings.Builder
	ready wire.Ready // what it told of its fences
}

var bounds = wire.Hello{CPU: 50 * time.Millisecond, Wall: 10 * time.Second, Memory: 64 << 20, Result: 64 << 10, Console: 1000}

// start starts one that ends with the test.
func start(t testing.TB) *process {
	t.Helper()
	p := launch(t)
	t.Cleanup(p.end)
	return p
}

func (p *process) end() {
	_ = p.in.Close()
	_ = p.cmd.Wait() // it may have ended otherwise
}

func launch(t testing.TB) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0], "script-worker")}
	p.cmd.Env, p.cmd.Stderr = []string{}, &p.errs
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = wire.NewReader(out, 1<<20)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.write(bounds.Append(nil))
	typ, body, err := p.out.Next()
	if err != nil || typ != wire.TypeReady || p.ready.Decode(body) != nil {
		t.Fatalf("%v: %v %x\n%s", err, typ, body, p.errs.String())
	}
	return p
}

func (p *process) write(b []byte) {
	p.t.Helper()
	if _, err := p.in.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// result reads one answer.
func (p *process) result() (r wire.Result, err error) {
	typ, body, err := p.out.Next()
	if err != nil {
		return r, err
	}
	if typ != wire.TypeResult {
		p.t.Fatalf("type %d", typ)
	}
	if err := r.Decode(body); err != nil {
		p.t.Fatal(err)
	}
	r.Body = append([]byte{}, r.Body...)
	return r, nil
}

// call runs one call of a script.
func (p *process) call(source string, c wire.Call) (wire.Result, error) {
	p.seq++
	c.Seq, c.Script = p.seq, 1
	if c.Topic == "" {
		c.Topic = "/p/d/upload"
	}
	b := (&wire.Script{ID: 1, Source: source}).Append(nil)
	p.write(c.Append(b))
	return p.result()
}

const echo = "function rawDataToJSON(topic, raw) { return {topic: topic, n: raw.length, first: raw[0], array: Array.isArray(raw)} }"

func TestCalls(t *testing.T) {
	p := start(t)
	for _, tt := range []struct {
		name, source  string
		f             wire.Function
		payload, want string
		status        wire.Status
		line          uint32
		reason        string
	}{
		{name: "up", source: echo, payload: "\xff\x01", want: `{"topic":"/p/d/upload","n":2,"first":255,"array":true}`},
		{name: "arrow", source: "const rawDataToJSON = (t, r) => ({a: r.map(x => x + 1)})", payload: "\x01\x02", want: `{"a":[2,3]}`},
		{name: "nothing", source: "function rawDataToJSON(t, r) { return {a: NaN, b: undefined, c: function(){}, d: null, e: r} }", want: `{"a":null,"d":null,"e":[]}`},
		{name: "syntax", source: "function rawDataToJSON(t, r) {\n  return {\n}", status: wire.Syntax, line: 3, reason: "Unexpected"},
		{name: "early", source: "let a;\nlet a;", status: wire.Syntax, line: 2, reason: "already"},
		{name: "source map", source: echo + "\n//# sourceMappingURL=/etc/passwd", want: `{"topic":"/p/d/upload","n":0,"array":true}`},
		{name: "missing", source: "var x = 1", status: wire.Missing, reason: "rawDataToJSON"},
		{name: "no function", source: "rawDataToJSON = 1", status: wire.Missing},
		{name: "thrown", source: "function f() {\n  throw new Error('bad crc')\n}\nfunction rawDataToJSON() { f() }", status: wire.Thrown, line: 2, reason: "bad crc"},
		{name: "reference", source: "function rawDataToJSON() {\n\n  return { a: nothing }\n}", status: wire.Thrown, line: 3, reason: "nothing is not defined"},
		{name: "top level", source: "\nthrow 'x'", status: wire.Thrown, line: 2, reason: "x"},
		{name: "array", source: "function rawDataToJSON() { return [1] }", status: wire.BadResult, reason: "not an array"},
		{name: "undefined", source: "function rawDataToJSON() { }", status: wire.BadResult, reason: "not undefined"},
		{name: "string", source: "function rawDataToJSON() { return '{}' }", status: wire.BadResult, reason: "not a string"},
		{name: "function", source: "function rawDataToJSON() { return rawDataToJSON }", status: wire.BadResult, reason: "not a function"},
		{name: "async", source: "async function rawDataToJSON() { return {} }", status: wire.BadResult, reason: "promise"},
		{name: "date", source: "function rawDataToJSON() { return new Date(0) }", status: wire.BadResult, reason: "an object"},
		{name: "circular", source: "function rawDataToJSON() { var a = {}; a.a = a; return a }", status: wire.Thrown, reason: "ircular"},
		{name: "large", source: "function rawDataToJSON() { return {a: 'x'.repeat(70000)} }", status: wire.BadResult, reason: "more than 65536"},
		{name: "bigint", source: "function rawDataToJSON() { return {a: 1n} }", status: wire.Thrown, reason: "BigInt"},
		{name: "getter throws", source: "function rawDataToJSON() { return {get a() { throw new Error('g') }} }", status: wire.Thrown, line: 1, reason: "g"},
		{name: "words throw", source: "function rawDataToJSON() { throw {toString() { throw 1 }} }", status: wire.Thrown, reason: ""},
		{name: "JSON redefined", source: "JSON = {stringify() { return 'x' }}; Object.prototype.toJSON = undefined; function rawDataToJSON() { return {a: 1} }", want: `{"a":1}`},
		{name: "prototype", source: "Object.prototype.evil = 1; Array.prototype.toJSON = function() { return 2 }; function rawDataToJSON(t, r) { return {a: r} }", want: `{"a":2}`},
		{name: "and none of it lasts", source: "function rawDataToJSON(t, r) { return {a: r, e: ({}).evil} }", want: `{"a":[]}`},
		{name: "no state lasts", source: "var n = 0; function rawDataToJSON() { return {n: ++n} }", want: `{"n":1}`},
		{name: "no way out", source: "function rawDataToJSON() { return {a: [typeof require, typeof setTimeout, typeof process, typeof fetch, typeof module]} }",
			want: `{"a":["undefined","undefined","undefined","undefined","undefined"]}`},
		{name: "UTC", source: "function rawDataToJSON() { return {h: new Date(0).getHours(), now: Date.now() > 1.7e12} }", want: `{"h":0,"now":true}`},

		{name: "down", f: wire.Down, source: "function jsonToRawData(t, o) { return [o.a >> 8, o.a & 255] }", payload: `{"a":258}`, want: "\x01\x02"},
		{name: "down bytes", f: wire.Down, source: "function jsonToRawData(t, o) { return new Uint8Array([1, 2]) }", payload: `{}`, want: "\x01\x02"},
		{name: "down buffer", f: wire.Down, source: "function jsonToRawData(t, o) { return new Uint8Array([1, 2]).buffer }", payload: `{}`, want: "\x01\x02"},
		{name: "down part", f: wire.Down, source: "function jsonToRawData(t, o) { return new Uint8Array([1, 2, 3]).subarray(1) }", payload: `{}`, want: "\x02\x03"},
		{name: "down 256", f: wire.Down, source: "function jsonToRawData(t, o) { return [256] }", payload: `{}`, status: wire.BadResult, reason: "element 0"},
		{name: "down half", f: wire.Down, source: "function jsonToRawData(t, o) { return [0, 1.5] }", payload: `{}`, status: wire.BadResult, reason: "element 1"},
		{name: "down hole", f: wire.Down, source: "function jsonToRawData(t, o) { return new Array(5) }", payload: `{}`, status: wire.BadResult, reason: "element 0"},
		{name: "down huge", f: wire.Down, source: "function jsonToRawData(t, o) { return new Array(1e9) }", payload: `{}`, status: wire.BadResult, reason: "more than"},
		{name: "down string", f: wire.Down, source: "function jsonToRawData(t, o) { return 'x' }", payload: `{}`, status: wire.BadResult, reason: "not a string"},
		{name: "down object", f: wire.Down, source: "function jsonToRawData(t, o) { return {} }", payload: `{}`, status: wire.BadResult, reason: "not an object"},
		{name: "down JSON redefined", f: wire.Down, source: "JSON.parse = null; function jsonToRawData(t, o) { return [o.a] }", payload: `{"a":7}`, want: "\x07"},
		{name: "down missing", f: wire.Down, source: echo, payload: `{}`, status: wire.Missing, reason: "jsonToRawData"},
		{name: "check", f: wire.Check, source: echo, want: "\x01\x00"},
		{name: "check both", f: wire.Check, source: echo + "\nlet jsonToRawData = () => []", want: "\x01\x01"},
		{name: "check syntax", f: wire.Check, source: "function (", status: wire.Syntax, line: 1},

		{name: "loop", source: "function rawDataToJSON() {\n  for (var i = 0;;) i++\n}", status: wire.Timeout, line: 2, reason: "script timeout"},
		{name: "loop that catches", source: "function rawDataToJSON() { for (;;) { try { for (;;) {} } catch (e) {} finally { continue } } }", status: wire.Timeout, line: 1},
		{name: "loop at the top", source: "for (;;) {}", status: wire.Timeout, line: 1},
		{name: "loop in a getter", source: "function rawDataToJSON() { return {get a() { for (;;) {} }} }", status: wire.Timeout, line: 1},
		{name: "loop in a proxy", source: "function rawDataToJSON() { return new Proxy({}, {ownKeys() { for (;;) {} }}) }", status: wire.Timeout, line: 1},
		{name: "loop in toJSON", source: "function rawDataToJSON() { return {toJSON() { for (;;) {} }} }", status: wire.Timeout, line: 1},
		{name: "loop in words", source: "function rawDataToJSON() { throw {toString() { for (;;) {} }} }", status: wire.Timeout, line: 1},
		{name: "loop in a valueOf", f: wire.Down, source: "function jsonToRawData() { return [{valueOf() { for (;;) {} }}] }", payload: "{}", status: wire.BadResult},
		{name: "grow", source: "function rawDataToJSON() {\n  var a = [];\n  for (;;) a.push(new ArrayBuffer(1 << 20))\n}", status: wire.Memory, line: 3},
		{name: "recurse", source: "function rawDataToJSON() {\n  return rawDataToJSON()\n}", status: wire.Recursion, line: 2},
		{name: "alive", source: echo, payload: "\x00", want: `{"topic":"/p/d/upload","n":1,"first":0,"array":true}`},
	} {
		if tt.f == 0 {
			tt.f = wire.Up
		}
		if raceDetector && tt.status == wire.Memory {
			continue
		}
		r, err := p.call(tt.source, wire.Call{Function: tt.f, Payload: []byte(tt.payload)})
		if err != nil {
			t.Fatalf("%s: %v\n%s", tt.name, err, p.errs.String())
		}
		if r.Status != tt.status || string(r.Body) != tt.want || r.Line != tt.line && tt.line != 0 || !strings.Contains(r.Reason, tt.reason) {
			t.Errorf("%s: got status %d line %d:%d %q %q, want status %d line %d %q %q", tt.name, r.Status, r.Line, r.Column, r.Reason, r.Body,
				tt.status, tt.line, tt.reason, tt.want)
		}
		if r.Status == wire.Timeout && r.CPU > 2*bounds.CPU {
			t.Errorf("%s: took %v", tt.name, r.CPU)
		}
	}
}

// TestEnds are calls that no bound of the machine ends: the process does, and says so where it can.
func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		name, source string
		answered     bool
		status       wire.Status
	}{
		{"regular expression", `function rawDataToJSON() { return {a: /^(a+)+\1$/.test('a'.repeat(40) + 'b')} }`, true, wire.Timeout},
		{"repeat", "function rawDataToJSON() { return {a: 'x'.repeat(2**30).length} }", false, 0},
		{"join", "function rawDataToJSON() { return {a: new Array(2**28).join('abcdefgh').length} }", false, 0},
		{"recurse in sort", "function f() { [1, 2].sort(f) }\nfunction rawDataToJSON() { f() }", true, 0},
		{"laughs", "function rawDataToJSON() { var a = {}; for (var i = 0; i < 40; i++) a = {a: a, b: a}; return a }", true, 0},
	} {
		p := start(t)
		began := time.Now()
		r, err := p.call(tt.source, wire.Call{Function: wire.Up})
		switch {
		case tt.answered && err != nil:
			t.Errorf("%s: no answer: %v\n%.300s", tt.name, err, p.errs.String())
		case tt.answered && (r.Status != wire.Timeout && r.Status != wire.Memory && r.Status != wire.Recursion || tt.status != 0 && r.Status != tt.status):
			t.Errorf("%s: %+v", tt.name, r)
		case !tt.answered && err == nil && r.Status == wire.OK:
			t.Errorf("%s: %+v", tt.name, r)
		}
		p.end()
		t.Logf("%s: %v, status %d, %v, %.60q", tt.name, time.Since(began), r.Status, err, p.errs.String())
	}
}

func TestConsole(t *testing.T) {
	p := start(t)
	r, err := p.call("function rawDataToJSON() { console.log('a', 1, {b: 2}, [3]); console.error(new Error('x')); return {} }", wire.Call{Function: wire.Up, Verbose: true})
	if want := "a 1 {\"b\":2} [3]\nError: x\n"; err != nil || r.Console != want {
		t.Errorf("%q, %v, want %q", r.Console, err, want)
	}
	if r.Memory == 0 || r.Wall == 0 {
		t.Errorf("took nothing: %+v", r)
	}
	r, err = p.call("function rawDataToJSON() { for (var i = 0; i < 1000; i++) console.log('line ' + i); return {} }", wire.Call{Function: wire.Up, Verbose: true})
	if err != nil || len(r.Console) > int(bounds.Console)+len("…") || !strings.HasPrefix(r.Console, "line 0\nline 1\n") {
		t.Errorf("%d bytes %q, %v", len(r.Console), r.Console, err)
	}
	if r, err = p.call("function rawDataToJSON() { console.log('quiet'); return {} }", wire.Call{Function: wire.Up}); err != nil || r.Console != "" {
		t.Errorf("%q, %v", r.Console, err)
	}
}

// TestBadTalk: what a worker does not understand ends it.
func TestBadTalk(t *testing.T) {
	p := start(t)
	p.write([]byte{1, 0, 0, 0, 99})
	if _, err := p.result(); err == nil {
		t.Error("it answered")
	}
	if err := p.cmd.Wait(); p.cmd.ProcessState.ExitCode() != wire.ExitTalk {
		t.Errorf("ended with %v", err)
	}
}

func BenchmarkCall(b *testing.B) {
	p := start(b)
	p.write((&wire.Script{ID: 1, Source: echo}).Append(nil))
	var buf []byte
	payload := []byte("\x01\x03\x04\x00\xc8\x01\x90\x7a\x0f")
	for _, batch := range []int{1, 16} {
		b.Run(map[int]string{1: "one", 16: "sixteen"}[batch], func(b *testing.B) {
			var cpu time.Duration
			n := 0
			for b.Loop() {
				buf = buf[:0]
				for range batch {
					buf = (&wire.Call{Seq: 1, Script: 1, Function: wire.Up, Topic: "/p/d/upload", Payload: payload}).Append(buf)
				}
				p.write(buf)
				for range batch {
					r, err := p.result()
					if err != nil {
						b.Fatal(err)
					}
					cpu += r.CPU
					n++
				}
			}
			b.ReportMetric(float64(cpu.Microseconds())/float64(n), "µs-script/call")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/call")
		})
	}
}

// FuzzScript: whatever a script says, each call ends, and with an answer or the process.
func FuzzScript(f *testing.F) {
	for _, source := range []string{echo, "for (;;) {}", "function rawDataToJSON() { return new Proxy({}, {}) }", "class A { get x() { return 1 } }",
		"var rawDataToJSON = (t, r) => ({a: /(a*)*b/.exec(t), b: [...r], c: new Map([[1, 2]]), d: `${t}`})", "function* g() { yield* g() }",
		"function jsonToRawData(t, o) { return new Uint8Array(o.n) }", "async function rawDataToJSON() { await 1 }", "\"use strict\"; x = 1", "a\u2028b = 'é'"} {
		f.Add(source, []byte{1, 2, 3})
	}
	var p *process
	f.Fuzz(func(t *testing.T, source string, payload []byte) {
		if p == nil {
			p = launch(t)
		}
		p.t = t
		for _, c := range []wire.Call{{Function: wire.Check}, {Function: wire.Up, Payload: payload, Verbose: true}, {Function: wire.Down, Payload: []byte(`{"n":3}`)}} {
			began := time.Now()
			r, err := p.call(source, c)
			if took := time.Since(began); took > time.Minute {
				t.Errorf("%s took %v", c.Function, took)
			}
			if err != nil || r.Status == wire.Timeout || r.Status == wire.Memory {
				p.end()
				p = nil // the next one gets a process of its own
				return
			}
			if r.Seq != p.seq {
				t.Errorf("call %d was answered as %d", p.seq, r.Seq)
			}
			if c.Function == wire.Up && r.Status == wire.OK && !json.Valid(r.Body) {
				t.Errorf("not JSON: %q", r.Body)
			}
		}
	})
}
