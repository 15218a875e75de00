package worker

import (
	"errors"
	"reflect"
	"strconv"
	"strings"

	"github.com/dop251/goja"

	"github.com/hawser-iot/hawser/cloud/script/wire"
)

// maxReason bounds what is told of an error, in bytes.
const maxReason = 512

// kit is what all machines share.
type kit struct {
	// up and down are small programs that find a script's functions, however it defines them.
	up, down *goja.Program
	bytes    [256]goja.Value
}

func newKit() *kit {
	k := &kit{
		up:   goja.MustCompile("", "typeof rawDataToJSON === 'function' ? rawDataToJSON : undefined", false),
		down: goja.MustCompile("", "typeof jsonToRawData === 'function' ? jsonToRawData : undefined", false),
	}
	rt := goja.New()
	for i := range k.bytes {
		k.bytes[i] = rt.ToValue(i)
	}
	return k
}

// machine is what one call runs in; it is thrown away afterwards.
type machine struct {
	rt      *goja.Runtime
	kit     *kit
	bounds  *wire.Hello
	console console
}

// run runs a call. Everything that may run code of the script is in here, the words of its errors too: whoever watches looks
// after it.
func (m *machine) run(s *script, c *wire.Call) (body []byte, f *fault) {
	defer func() {
		if x := recover(); x != nil {
			f = m.panicked(x)
		}
	}()
	body, err := m.do(s, c)
	if err != nil {
		return nil, m.describe(err)
	}
	return body, nil
}

func (m *machine) do(s *script, c *wire.Call) ([]byte, error) {
	program, f := s.compile()
	if f != nil {
		return nil, f
	}
	m.rt.SetMaxCallStackSize(maxCalls)
	if s.prints {
		m.console.install(m.rt, int(m.bounds.Console))
	}
	parse, _ := goja.AssertFunction(m.rt.Get("JSON").ToObject(m.rt).Get("parse")) // before the script can put another one there
	if _, err := m.rt.RunProgram(program); err != nil {
		return nil, err
	}
	switch c.Function {
	case wire.Up:
		return m.up(c)
	case wire.Down:
		return m.down(c, parse)
	}
	up, err := m.find(m.kit.up)
	if err != nil {
		return nil, err
	}
	down, err := m.find(m.kit.down)
	return wire.Defines{Up: up != nil, Down: down != nil}.Append(nil), err
}

// find returns a function of the script, nil when it defines none.
func (m *machine) find(p *goja.Program) (goja.Callable, error) {
	v, err := m.rt.RunProgram(p)
	if err != nil {
		return nil, err
	}
	f, _ := goja.AssertFunction(v)
	return f, nil
}

// up is rawDataToJSON.
func (m *machine) up(c *wire.Call) ([]byte, error) {
	f, err := m.find(m.kit.up)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, faultf(wire.Missing, "the script has no function rawDataToJSON")
	}
	raw := make([]any, len(c.Payload))
	for i, b := range c.Payload {
		raw[i] = m.kit.bytes[b]
	}
	v, err := f(goja.Undefined(), m.rt.ToValue(c.Topic), m.rt.NewArray(raw...))
	if err != nil {
		return nil, err
	}
	return m.object(v)
}

// object is the JSON text of what rawDataToJSON returned.
func (m *machine) object(v goja.Value) ([]byte, error) {
	o, ok := v.(*goja.Object)
	if !ok {
		return nil, faultf(wire.BadResult, "rawDataToJSON must return an object, not %s", kindOf(v))
	}
	if _, ok := goja.AssertFunction(o); ok {
		return nil, faultf(wire.BadResult, "rawDataToJSON must return an object, not a function")
	}
	if o.ExportType() == reflect.TypeFor[*goja.Promise]() {
		return nil, faultf(wire.BadResult, "rawDataToJSON must return an object, not a promise: it cannot be async")
	}
	b, err := o.MarshalJSON()
	switch {
	case err != nil:
		return nil, err
	case len(b) > int(m.bounds.Result):
		return nil, faultf(wire.BadResult, "what rawDataToJSON returned is %d bytes long, more than %d", len(b), m.bounds.Result)
	case len(b) == 0 || b[0] != '{':
		return nil, faultf(wire.BadResult, "rawDataToJSON must return an object, not %s", strings.ToLower("an "+o.ClassName()))
	}
	return b, nil
}

// down is jsonToRawData.
func (m *machine) down(c *wire.Call, parse goja.Callable) ([]byte, error) {
	f, err := m.find(m.kit.down)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, faultf(wire.Missing, "the script has no function jsonToRawData")
	}
	object, err := parse(goja.Undefined(), m.rt.ToValue(string(c.Payload)))
	if err != nil {
		return nil, err
	}
	v, err := f(goja.Undefined(), m.rt.ToValue(c.Topic), object)
	if err != nil {
		return nil, err
	}
	return m.raw(v)
}

// raw are the bytes that jsonToRawData returned: an array of numbers, a Uint8Array or an ArrayBuffer.
func (m *machine) raw(v goja.Value) ([]byte, error) {
	o, ok := v.(*goja.Object)
	if !ok {
		return nil, faultf(wire.BadResult, "jsonToRawData must return an array of byte values, not %s", kindOf(v))
	}
	switch o.ExportType() { // asked first: an array is not copied whatever its length
	case reflect.TypeFor[goja.ArrayBuffer]():
		return m.fits(o.Export().(goja.ArrayBuffer).Bytes())
	case reflect.TypeFor[[]byte]():
		return m.fits(o.Export().([]byte))
	case reflect.TypeFor[[]any]():
	default:
		return nil, faultf(wire.BadResult, "jsonToRawData must return an array of byte values, not %s", strings.ToLower("an "+o.ClassName()))
	}
	n := o.Get("length").ToInteger()
	if n > int64(m.bounds.Result) {
		return nil, faultf(wire.BadResult, "what jsonToRawData returned is %d bytes long, more than %d", n, m.bounds.Result)
	}
	b := make([]byte, n)
	for i := range b {
		e := o.Get(strconv.Itoa(i))
		if e == nil || !goja.IsNumber(e) || e.ToFloat() != float64(byte(e.ToInteger())) {
			return nil, faultf(wire.BadResult, "element %d of what jsonToRawData returned is no whole number from 0 to 255", i)
		}
		b[i] = byte(e.ToInteger())
	}
	return b, nil
}

func (m *machine) fits(b []byte) ([]byte, error) {
	if len(b) > int(m.bounds.Result) {
		return nil, faultf(wire.BadResult, "what jsonToRawData returned is %d bytes long, more than %d", len(b), m.bounds.Result)
	}
	return b, nil
}

func kindOf(v goja.Value) string {
	switch {
	case v == nil || goja.IsUndefined(v):
		return "undefined"
	case goja.IsNull(v):
		return "null"
	case goja.IsString(v):
		return "a string"
	case goja.IsNumber(v):
		return "a number"
	}
	return "a value of another kind"
}

// describe says what an error was, in the script's own words where it has some.
func (m *machine) describe(err error) *fault {
	var own *fault
	var interrupted *goja.InterruptedError
	var deep *goja.StackOverflowError
	var thrown *goja.Exception
	f := &fault{status: wire.Thrown}
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &interrupted):
		f.status, _ = interrupted.Value().(wire.Status)
		f.reason = reasons[f.status]
		f.where(interrupted.Stack())
	case errors.As(err, &deep):
		f.status, f.reason = wire.Recursion, reasons[wire.Recursion]
		f.where(deep.Stack())
	case errors.As(err, &thrown):
		f.where(thrown.Stack())
		f.reason = cut(thrown.Value().String(), maxReason)
	default:
		f.reason = cut(err.Error(), maxReason)
	}
	return f
}

// panicked is describe for what built-in functions throw past their callers.
func (m *machine) panicked(x any) (f *fault) {
	defer func() {
		if x := recover(); x != nil { // the words of the error were code that threw again
			f = faultf(wire.Thrown, "the script threw something that cannot be shown")
			if err, ok := x.(*goja.InterruptedError); ok {
				f = m.describe(err)
			}
		}
	}()
	switch x := x.(type) {
	case error:
		return m.describe(x)
	case goja.Value:
		return &fault{status: wire.Thrown, reason: cut(x.String(), maxReason)}
	}
	return faultf(wire.Thrown, "the script's machine failed: %v", x)
}

// where notes the innermost place in the script itself.
func (f *fault) where(stack []goja.StackFrame) {
	for i := range stack {
		if stack[i].SrcName() == sourceName {
			p := stack[i].Position()
			f.line, f.column = p.Line, p.Column
			return
		}
	}
}

// cut shortens s to at most n bytes of valid text.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
