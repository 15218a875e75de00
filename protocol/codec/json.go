package codec

// Reasons of JSON syntax errors.
const (
	reasonEmpty   = "empty payload"
	reasonEnd     = "unexpected end"
	reasonTail    = "bytes after the document"
	reasonValue   = "expected a value"
	reasonKey     = "expected a key in quotes"
	reasonColon   = "expected a colon"
	reasonComma   = "expected a comma or the closing bracket"
	reasonControl = "control character in a string"
	reasonEscape  = "bad escape"
	reasonUTF8    = "bad UTF-8"
	reasonNumber  = "bad number"
	reasonRange   = "number out of range"
)

func (d *Doc) syntax(offset int, reason string) error {
	return &SyntaxError{Format: d.format, Offset: offset, Reason: reason}
}

func (d *Doc) decodeJSON() error {
	if d.end == 0 {
		return d.syntax(0, reasonEmpty)
	}
	d.space()
	if err := d.jsonValue(label{}, 0); err != nil {
		return err
	}
	d.space()
	if d.pos != d.end {
		return d.syntax(d.pos, reasonTail)
	}
	return nil
}

// space skips blanks. peek after it returns 0 at the end: no token starts with 0.
func (d *Doc) space() {
	for d.pos < d.end {
		switch d.text[d.pos] {
		case ' ', '\n', '\t', '\r':
			d.pos++
		default:
			return
		}
	}
}

func (d *Doc) peek() byte {
	if d.pos < d.end {
		return d.text[d.pos]
	}
	return 0
}

// jsonValue reads the value at pos.
func (d *Doc) jsonValue(l label, depth int) error {
	switch c := d.peek(); c {
	case '{':
		return d.jsonObject(l, depth+1)
	case '[':
		return d.jsonArray(l, depth+1)
	case '"':
		str, plain, err := d.jsonString()
		if err != nil {
			return err
		}
		n, err := d.add(l, String)
		if err != nil {
			return err
		}
		n.str = str
		if plain {
			n.flags |= flagPlain
		}
		return nil
	case 't':
		return d.literal(l, "true", Bool, 1)
	case 'f':
		return d.literal(l, "false", Bool, 0)
	case 'n':
		return d.literal(l, "null", Null, 0)
	default:
		if c != '-' && (c < '0' || c > '9') {
			return d.unexpected(reasonValue)
		}
		n, err := d.add(l, Int)
		if err != nil {
			return err
		}
		return d.jsonNumber(n)
	}
}

func (d *Doc) unexpected(reason string) error {
	if d.pos >= d.end {
		return d.syntax(d.pos, reasonEnd)
	}
	return d.syntax(d.pos, reason)
}

func (d *Doc) literal(l label, word string, kind Kind, num uint64) error {
	if d.end-d.pos < len(word) || string(d.text[d.pos:d.pos+len(word)]) != word {
		return d.syntax(d.pos, reasonValue)
	}
	d.pos += len(word)
	n, err := d.add(l, kind)
	if err != nil {
		return err
	}
	n.num = num
	return nil
}

func (d *Doc) jsonObject(l label, depth int) error {
	at, err := d.open(l, Object, depth)
	if err != nil {
		return err
	}
	d.pos++
	count := 0
	for first := true; ; first = false {
		d.space()
		c := d.peek()
		if c == '}' && first {
			break
		}
		if c != '"' {
			return d.unexpected(reasonKey)
		}
		if err := d.jsonMember(depth); err != nil {
			return err
		}
		count++
		d.space()
		if c = d.peek(); c == '}' {
			break
		}
		if c != ',' {
			return d.unexpected(reasonComma)
		}
		d.pos++
	}
	d.pos++
	d.close(at, count)
	return nil
}

func (d *Doc) jsonMember(depth int) error {
	key, plain, err := d.jsonString()
	if err != nil {
		return err
	}
	l := label{key: key}
	if plain {
		l.flags = flagPlainKey
	}
	d.space()
	if d.peek() != ':' {
		return d.unexpected(reasonColon)
	}
	d.pos++
	d.space()
	return d.jsonValue(l, depth)
}

func (d *Doc) jsonArray(l label, depth int) error {
	at, err := d.open(l, Array, depth)
	if err != nil {
		return err
	}
	d.pos++
	d.space()
	count := 0
	if d.peek() == ']' {
		d.pos++
		d.close(at, 0)
		return nil
	}
	for {
		if err := d.jsonValue(label{}, depth); err != nil {
			return err
		}
		count++
		d.space()
		c := d.peek()
		if c != ',' && c != ']' {
			return d.unexpected(reasonComma)
		}
		d.pos++
		if c == ']' {
			d.close(at, count)
			return nil
		}
		d.space()
	}
}
