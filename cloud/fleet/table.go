package fleet

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// maxRecord bounds one row of a file. A quote that is never closed is found within it, so that it costs its own line and
// not the rest of the file.
const maxRecord = 64 << 10

// rowError is what is wrong with one row. Its code is stable; reports count by it.
type rowError struct{ code, reason string }

func (e *rowError) Error() string { return e.code + ": " + e.reason }

var (
	errEncoding = &rowError{"bad_encoding", "is not UTF-8: save the file as UTF-8"}
	errQuote    = &rowError{"bad_quote", `has a quote in the wrong place: a value with quotes is written "like ""this"""`}
	errUnclosed = &rowError{"unclosed_quote", "has a quote that is never closed"}
	errTooLong  = &rowError{"too_long", "is longer than 64 KiB"}
)

// errUTF16 says that the file as a whole cannot be read.
var errUTF16 = errors.New("the file is UTF-16: save it as CSV UTF-8")

// record is one row: the number of its first line and its values, or what is wrong with it.
type record struct {
	line   int
	values []string
	err    *rowError
}

// table reads CSV as RFC 4180 has it, with either line end, a byte order mark or none, and commas, semicolons or tabs. It
// holds on after any bad row, at the next line. Empty lines are passed over.
type table struct {
	src   io.Reader
	comma byte // 0 until the first row tells
	buf   []byte
	at    int // where in buf the next row begins
	end   error
	line  int // of the next row
}

func newTable(r io.Reader) *table { return &table{src: r, line: 1} }

// next returns the next row, or io.EOF, or the error of the source.
func (t *table) next() (record, error) {
	if t.line == 1 && t.at == 0 && t.buf == nil {
		if err := t.begin(); err != nil {
			return record{}, err
		}
	}
	for {
		if err := t.fill(); err != nil {
			return record{}, err
		}
		if t.at == len(t.buf) {
			return record{}, io.EOF
		}
		rec, n := t.parse(t.buf[t.at:])
		rec.line = t.line
		t.line += bytes.Count(t.buf[t.at:t.at+n], []byte{'\n'})
		t.at += n
		if rec.err == errTooLong {
			if err := t.skipLine(); err != nil {
				return record{}, err
			}
		}
		if rec.err != nil || len(rec.values) > 1 || rec.values[0] != "" {
			return rec, nil
		}
	}
}

// begin looks at the first bytes: byte order marks, and what separates the values of the heading.
func (t *table) begin() error {
	if err := t.fill(); err != nil {
		return err
	}
	if bytes.HasPrefix(t.buf, []byte{0xFF, 0xFE}) || bytes.HasPrefix(t.buf, []byte{0xFE, 0xFF}) {
		return errUTF16
	}
	if bytes.HasPrefix(t.buf, []byte("\xEF\xBB\xBF")) {
		t.at = 3
	}
	first, _, _ := bytes.Cut(t.buf[t.at:], []byte{'\n'})
	t.comma = ','
	for _, c := range []byte{';', '\t'} {
		if bytes.IndexByte(first, ',') < 0 && bytes.IndexByte(first, c) >= 0 {
			t.comma = c
		}
	}
	return nil
}

// fill sees to it that a whole row is in buf, or all that is left.
func (t *table) fill() error {
	if len(t.buf)-t.at >= maxRecord || t.end != nil {
		return t.failed()
	}
	if cap(t.buf) == 0 {
		t.buf = make([]byte, 0, 4*maxRecord)
	}
	t.buf = t.buf[:copy(t.buf[:cap(t.buf)], t.buf[t.at:])]
	t.at = 0
	for len(t.buf) < cap(t.buf) && t.end == nil {
		var n int
		n, t.end = t.src.Read(t.buf[len(t.buf):cap(t.buf)])
		t.buf = t.buf[:len(t.buf)+n]
	}
	return t.failed()
}

// failed is the error of the source, which ends the table at once.
func (t *table) failed() error {
	if t.end == nil || errors.Is(t.end, io.EOF) {
		return nil
	}
	return t.end
}

// skipLine drops the rest of a line that is too long.
func (t *table) skipLine() error {
	for {
		if i := bytes.IndexByte(t.buf[t.at:], '\n'); i >= 0 {
			t.at += i + 1
			t.line++
			return nil
		}
		t.at = len(t.buf)
		if err := t.fill(); err != nil || t.at == len(t.buf) {
			return err
		}
	}
}

// parse reads the row at the beginning of b and tells how many bytes it has. b is not empty.
func (t *table) parse(b []byte) (rec record, n int) {
	for {
		value, used, bad := t.value(b[n:min(len(b), maxRecord)])
		if bad != nil {
			return record{err: bad}, lineLength(b)
		}
		if !utf8.ValidString(value) {
			rec.err = errEncoding
		}
		rec.values = append(rec.values, value)
		n += used
		switch {
		case n == len(b) && t.end != nil: // the file ends without a line end
			return rec, n
		case n >= len(b) || n >= maxRecord:
			return record{err: errTooLong}, min(n, len(b))
		case b[n] == t.comma:
			n++
			if n == len(b) && t.end != nil {
				rec.values = append(rec.values, "")
				return rec, n
			}
		case b[n] == '\r':
			return rec, n + 2
		default:
			return rec, n + 1
		}
	}
}

// value reads one value; what follows it is a separator, a line end or the end of b.
func (t *table) value(b []byte) (value string, n int, bad *rowError) {
	if len(b) > 0 && b[0] == '"' {
		return t.quoted(b)
	}
	for n < len(b) && b[n] != t.comma && b[n] != '\n' {
		if b[n] == '"' {
			return "", 0, errQuote
		}
		n++
	}
	if n > 0 && b[n-1] == '\r' && (n == len(b) || b[n] == '\n') {
		if n == len(b) { // the file ends with a lone carriage return
			return string(b[:n-1]), n, nil
		}
		n--
	}
	return string(b[:n]), n, nil
}

func (t *table) quoted(b []byte) (value string, n int, bad *rowError) {
	var text strings.Builder
	for n = 1; ; {
		i := bytes.IndexByte(b[n:], '"')
		if i < 0 {
			return "", 0, errUnclosed
		}
		text.Write(b[n : n+i])
		n += i + 1
		if n == len(b) || b[n] != '"' {
			break
		}
		text.WriteByte('"')
		n++
	}
	ends := n == len(b) || b[n] == t.comma || b[n] == '\n' || bytes.HasPrefix(b[n:], []byte("\r\n"))
	if n+1 == len(b) && b[n] == '\r' {
		return text.String(), n + 1, nil
	}
	if !ends {
		return "", 0, errQuote
	}
	return text.String(), n, nil
}

// lineLength is the length of the first line of b with its end.
func lineLength(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}
