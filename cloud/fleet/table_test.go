package fleet

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll gives rows as "line:value|value" or "line!code".
func readAll(t testing.TB, r io.Reader) (rows []string, err error) {
	t.Helper()
	tab := newTable(r)
	for {
		rec, err := tab.next()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		if rec.err != nil {
			rows = append(rows, fmt.Sprintf("%d!%s", rec.line, rec.err.code))
			continue
		}
		rows = append(rows, fmt.Sprintf("%d:%s", rec.line, strings.Join(rec.values, "|")))
	}
}

func TestTable(t *testing.T) {
	long := strings.Repeat("x", maxRecord+10)
	tests := []struct{ name, text, want string }{
		{"plain", "a,b\nc,d\n", "1:a|b 2:c|d"},
		{"no end of line", "a,b\nc,d", "1:a|b 2:c|d"},
		{"empty", "", ""},
		{"CRLF", "a,b\r\nc,d\r\n", "1:a|b 2:c|d"},
		{"a lone CR at the end", "a,b\r", "1:a|b"},
		{"a quoted one, too", "a,\"b\"\r", "1:a|b"},
		{"CR inside", "a\rb,c\n", "1:a\rb|c"},
		{"byte order mark", "\xEF\xBB\xBFa,b\n", "1:a|b"},
		{"empty lines", "a\n\n\r\nb\n", "1:a 4:b"},
		{"empty values", "a,,\n,b,", "1:a|| 2:|b|"},
		{"quotes", "\"a,b\",\"c\"\"d\"\n\"\",x\n", "1:a,b|c\"d 2:|x"},
		{"quoted line end", "\"a\nb\",c\nd,e\n", "1:a\nb|c 3:d|e"},
		{"semicolons", "a;b\nc,d;e\n", "1:a|b 2:c,d|e"},
		{"tabs", "a\tb\nc\td\n", "1:a|b 2:c|d"},
		{"bare quote", "a,b\nc\"c,d\ne,f\n", "1:a|b 2!bad_quote 3:e|f"},
		{"text after a quote", "a,b\n\"c\"c,d\ne,f\n", "1:a|b 2!bad_quote 3:e|f"},
		{"unclosed quote", "a,b\nc,\"d\ne,f\ng,h", "1:a|b 2!unclosed_quote 3:e|f 4:g|h"},
		{"bad UTF-8", "a,b\nc\xff,d\ne,f\n", "1:a|b 2!bad_encoding 3:e|f"},
		{"long", "a,b\n" + long + ",d\ne,f\n", "1:a|b 2!too_long 3:e|f"},
		{"long and last", "a,b\n" + long, "1:a|b 2!too_long"},
		{"long in quotes", "a,b\n\"" + long + "\",d\ne,f\n", "1:a|b 2!unclosed_quote 3:e|f"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.text), iotest.OneByteReader(strings.NewReader(tt.text)), iotest.DataErrReader(strings.NewReader(tt.text))} {
				rows, err := readAll(t, r)
				if got := strings.Join(rows, " "); err != nil || got != tt.want {
					t.Errorf("got %.200q, %v\nwant %.200q", got, err, tt.want)
				}
			}
		})
	}
	if _, err := readAll(t, strings.NewReader("\xFF\xFEa\x00")); !errors.Is(err, errUTF16) {
		t.Errorf("UTF-16: %v", err)
	}
	broken := errors.New("broken")
	if _, err := readAll(t, io.MultiReader(strings.NewReader("a,b\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("error of the source: %v", err)
	}
}

// FuzzTable holds that whatever comes, each line is accounted for once, and what encoding/csv writes is read as it was.
func FuzzTable(f *testing.F) {
	for _, s := range []string{"a,b\n\"c\n\",d\r\n", "\"", "a\"b\n,,\n", "\xEF\xBB\xBFx;y\n\"a\"\"", "a,b\r", strings.Repeat("\"x\n", 100)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tab, last, lines := newTable(bytes.NewReader(b)), 0, bytes.Count(b, []byte{'\n'})+1
		for n := 0; ; n++ {
			rec, err := tab.next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, errUTF16) {
					t.Fatal(err)
				}
				break
			}
			if rec.line <= last || rec.line > lines || n > lines {
				t.Fatalf("row at line %d after line %d of %d", rec.line, last, lines)
			}
			if rec.err == nil && len(rec.values) == 0 {
				t.Fatal("a row without values")
			}
			last = rec.line
		}
		fields := strings.Split(strings.ToValidUTF8(string(b), ""), "|")
		for i := range fields {
			fields[i] = strings.ReplaceAll(fields[i], "\r", "")
		}
		var out bytes.Buffer
		w := csv.NewWriter(&out)
		_ = w.Write([]string{"head,"})
		_ = w.Write(append([]string{"x"}, fields...))
		w.Flush()
		if out.Len() > maxRecord {
			return
		}
		tab = newTable(&out)
		_, _ = tab.next()
		rec, err := tab.next()
		if err != nil || rec.err != nil || strings.Join(rec.values, "|") != strings.Join(append([]string{"x"}, fields...), "|") {
			t.Fatalf("got %q, %v, %v, want %q", rec.values, rec.err, err, fields)
		}
	})
}
