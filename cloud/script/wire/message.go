package wire

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Hello tells a worker its bounds.
type Hello struct {
	CPU     time.Duration // of one call; in steps of a microsecond
	Wall    time.Duration // of one call, when the machine is busy
	Memory  uint64        // bytes that a call may hold
	Result  uint32        // bytes of a result
	Console uint32        // bytes that console.log keeps of a call
}

// Append appends h as a frame.
func (h *Hello) Append(b []byte) []byte {
	b, from := begin(b, TypeHello)
	b = append(b, Version)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.CPU.Microseconds()))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Wall.Microseconds()))
	b = binary.LittleEndian.AppendUint64(b, h.Memory)
	b = binary.LittleEndian.AppendUint32(b, h.Result)
	b = binary.LittleEndian.AppendUint32(b, h.Console)
	return end(b, from)
}

// Decode reads a frame's body.
func (h *Hello) Decode(body []byte) error {
	f := fields{b: body}
	if v := f.u8(); v != Version {
		return fmt.Errorf("%w: version %d, want %d", ErrFrame, v, Version)
	}
	h.CPU = time.Duration(f.u32()) * time.Microsecond
	h.Wall = time.Duration(f.u32()) * time.Microsecond
	h.Memory, h.Result, h.Console = f.u64(), f.u32(), f.u32()
	return f.end("Hello")
}

// Ready tells what fences a worker has around it.
type Ready struct {
	Limits  bool // resource limits of the kernel
	Seccomp bool // a filter of system calls
}

// Append appends r as a frame.
func (r *Ready) Append(b []byte) []byte {
	b, from := begin(b, TypeReady)
	return end(append(b, Version, flag(r.Limits), flag(r.Seccomp)), from)
}

// Decode reads a frame's body.
func (r *Ready) Decode(body []byte) error {
	f := fields{b: body}
	if v := f.u8(); v != Version {
		return fmt.Errorf("%w: version %d, want %d", ErrFrame, v, Version)
	}
	r.Limits, r.Seccomp = f.flag(), f.flag()
	return f.end("Ready")
}

// Script gives a worker a script under an ID, which Calls name. It is compiled when the first Call comes.
type Script struct {
	ID     uint32
	Source string
}

// Append appends s as a frame.
func (s *Script) Append(b []byte) []byte {
	b, from := begin(b, TypeScript)
	b = binary.LittleEndian.AppendUint32(b, s.ID)
	return end(appendText(b, s.Source), from)
}

// Decode reads a frame's body.
func (s *Script) Decode(body []byte) error {
	f := fields{b: body}
	s.ID, s.Source = f.u32(), string(f.text())
	return f.end("Script")
}

// Forget takes a script back.
type Forget struct{ ID uint32 }

// Append appends g as a frame.
func (g *Forget) Append(b []byte) []byte {
	b, from := begin(b, TypeForget)
	return end(binary.LittleEndian.AppendUint32(b, g.ID), from)
}

// Decode reads a frame's body.
func (g *Forget) Decode(body []byte) error {
	f := fields{b: body}
	g.ID = f.u32()
	return f.end("Forget")
}

// Function is what of a script is called. The numbers are on the wire.
type Function byte

// The functions of a script.
const (
	Up    Function = 1 // rawDataToJSON(topic, rawData)
	Down  Function = 2 // jsonToRawData(topic, object)
	Check Function = 3 // none: the script is compiled and run once, the result's Body tells what it defines
)

func (f Function) String() string {
	switch f {
	case Up:
		return "rawDataToJSON"
	case Down:
		return "jsonToRawData"
	case Check:
		return "check"
	}
	return "unknown"
}

// Call asks for a function of a script.
type Call struct {
	Seq      uint64
	Script   uint32
	Function Function
	Verbose  bool // the result tells what was printed and how much memory was taken
	Topic    string
	Payload  []byte // raw for Up, JSON for Down
}

// Append appends c as a frame.
func (c *Call) Append(b []byte) []byte {
	b, from := begin(b, TypeCall)
	b = binary.LittleEndian.AppendUint64(b, c.Seq)
	b = binary.LittleEndian.AppendUint32(b, c.Script)
	b = append(b, byte(c.Function), flag(c.Verbose))
	return end(appendText(appendText(b, c.Topic), c.Payload), from)
}

// Decode reads a frame's body; Payload points into it.
func (c *Call) Decode(body []byte) error {
	f := fields{b: body}
	c.Seq, c.Script, c.Function, c.Verbose = f.u64(), f.u32(), Function(f.u8()), f.flag()
	c.Topic, c.Payload = string(f.text()), f.text()
	f.bad = f.bad || c.Function < Up || c.Function > Check
	return f.end("Call")
}

// Status is how a call ended. The numbers are on the wire.
type Status byte

// How a call ends.
const (
	OK         Status = 0
	Syntax     Status = 1 // the script does not compile
	Missing    Status = 2 // the script does not define the function
	Thrown     Status = 3 // it threw
	BadResult  Status = 4 // what it returned is not what it should be, or too large
	Timeout    Status = 5
	Memory     Status = 6
	Recursion  Status = 7 // calls nested too deep
	Unknown    Status = 8 // no such script in this worker: a fault of the hub's
	lastStatus        = Unknown
)

// Result answers a Call.
type Result struct {
	Seq          uint64
	Status       Status
	Line, Column uint32        // where in the script; 0: not known
	CPU, Wall    time.Duration // in steps of a microsecond
	Memory       uint64        // bytes taken from the heap, of a verbose call
	Reason       string        // "" when OK
	Console      string        // of a verbose call, or of one that failed
	Body         []byte        // JSON of Up, bytes of Down, a Defines of Check
}

// Append appends r as a frame.
func (r *Result) Append(b []byte) []byte {
	b, from := begin(b, TypeResult)
	b = binary.LittleEndian.AppendUint64(b, r.Seq)
	b = append(b, byte(r.Status))
	b = binary.LittleEndian.AppendUint32(b, r.Line)
	b = binary.LittleEndian.AppendUint32(b, r.Column)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.CPU.Microseconds()))
	b = binary.LittleEndian.AppendUint32(b, uint32(r.Wall.Microseconds()))
	b = binary.LittleEndian.AppendUint64(b, r.Memory)
	return end(appendText(appendText(appendText(b, r.Reason), r.Console), r.Body), from)
}

// Decode reads a frame's body; Body points into it.
func (r *Result) Decode(body []byte) error {
	f := fields{b: body}
	r.Seq, r.Status = f.u64(), Status(f.u8())
	r.Line, r.Column = f.u32(), f.u32()
	r.CPU = time.Duration(f.u32()) * time.Microsecond
	r.Wall = time.Duration(f.u32()) * time.Microsecond
	r.Memory = f.u64()
	r.Reason, r.Console, r.Body = string(f.text()), string(f.text()), f.text()
	f.bad = f.bad || r.Status > lastStatus
	return f.end("Result")
}

// Defines tells which functions a script defines.
type Defines struct{ Up, Down bool }

// Append appends d as the Body of a Check.
func (d Defines) Append(b []byte) []byte { return append(b, flag(d.Up), flag(d.Down)) }

// Decode reads the Body of a Check.
func (d *Defines) Decode(body []byte) error {
	f := fields{b: body}
	d.Up, d.Down = f.flag(), f.flag()
	return f.end("Defines")
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
