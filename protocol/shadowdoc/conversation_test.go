package shadowdoc

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// conversation plays a file of testdata; README.txt there describes them.
type conversation struct {
	*testing.T
	line     int
	doc      *Document
	started  bool
	opt      Options
	now      time.Time
	limit    int
	answers  []string // what the last message was answered with
	code     int
	controls error
}

func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if name == "README" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := &conversation{T: t, doc: New()}
			for i, line := range strings.Split(string(raw), "\n") {
				c.line = i + 1
				if line != "" && line[0] != '#' {
					c.play(line)
				}
			}
		})
	}
}

func (c *conversation) play(line string) {
	c.Helper()
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "doc":
		c.document(rest)
	case "revision":
		c.revision(int64(c.number(rest)))
	case "merge":
		c.opt.Merge = true
	case "size":
		c.opt.MaxSize = c.number(rest)
	case "at":
		c.now = time.Unix(int64(c.number(rest)), 0)
	case "limit":
		c.limit = c.number(rest)
	case "->":
		c.device(rest)
	case "desire":
		c.desire(rest)
	case "<-", "!":
		c.answered(rest)
	case "code":
		if want := c.number(rest); c.code != want {
			c.Errorf("line %d: code %d, want %d", c.line, c.code, want)
		}
	case "?":
		if got := string(c.doc.AppendGet([]byte("x"), c.limit)[1:]); got != rest {
			c.Errorf("line %d: document\n%s, want\n%s", c.line, got, rest)
		}
	case "too":
		if !errors.Is(c.controls, ErrTooLargeForDevice) {
			c.Errorf("line %d: error %v, want ErrTooLargeForDevice", c.line, c.controls)
		}
	default:
		c.Fatalf("line %d: cannot read %q", c.line, line)
	}
}

func (c *conversation) number(s string) int {
	c.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		c.Fatalf("line %d: %v", c.line, err)
	}
	return n
}

func (c *conversation) document(want string) {
	c.Helper()
	if !c.started {
		d, err := Parse([]byte(want))
		if err != nil {
			c.Fatalf("line %d: %v", c.line, err)
		}
		c.doc, c.started = d, true
	}
	if got := string(c.doc.AppendDocument(nil)); got != want {
		c.Errorf("line %d: document\n%s, want\n%s", c.line, got, want)
	}
}

// revision sets the revision of a conversation that has not begun, and checks it in one that has.
func (c *conversation) revision(want int64) {
	c.Helper()
	if c.now.IsZero() {
		c.doc.Revision = want
	}
	if c.doc.Revision != want {
		c.Errorf("line %d: revision %d, want %d", c.line, c.doc.Revision, want)
	}
}

func (c *conversation) device(message string) {
	c.Helper()
	before := string(c.doc.Encode())
	v := decode(c, message)
	o := Device(c.doc, v.Root(), c.now, c.opt)
	v.Release()
	c.answers = []string{string(o.AppendReply([]byte("x"), c.limit)[1:])}
	c.take(o, before)
}

func (c *conversation) desire(message string) {
	c.Helper()
	before := string(c.doc.Encode())
	v := decode(c, message)
	o := Desire(c.doc, v.Root(), c.now, c.opt)
	v.Release()
	c.answers, c.code = nil, int(o.Code)
	all, err := o.Document().Controls(c.limit)
	for _, b := range all {
		if c.limit > 0 && len(b) > c.limit {
			c.Errorf("line %d: a control of %d bytes, at most %d are allowed", c.line, len(b), c.limit)
		}
		c.answers = append(c.answers, string(b))
	}
	c.controls = err
	c.take(o, before)
}

// take goes on with the next document and checks that the one before has not changed, and that the next survives storing.
func (c *conversation) take(o Outcome, before string) {
	c.Helper()
	if got := string(c.doc.Encode()); got != before {
		c.Errorf("line %d: the document before has changed", c.line)
	}
	if o.Next == nil {
		return
	}
	stored := o.Next.Encode()
	again, err := Decode(bytes.Clone(stored))
	if err != nil {
		c.Fatalf("line %d: %v", c.line, err)
	}
	if !bytes.Equal(again.Encode(), stored) {
		c.Errorf("line %d: the document changes by storing it", c.line)
	}
	c.doc = again
}

func (c *conversation) answered(want string) {
	c.Helper()
	if len(c.answers) == 0 {
		c.Errorf("line %d: no answer, want %s", c.line, want)
		return
	}
	if c.answers[0] != want {
		c.Errorf("line %d: answer\n%s, want\n%s", c.line, c.answers[0], want)
	}
	c.answers = c.answers[1:]
}

func decode(t testing.TB, text string) *codec.Doc {
	t.Helper()
	doc, err := codec.Decode([]byte(text), codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
