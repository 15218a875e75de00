package rulesql

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// texts are the functions of texts. Positions count characters, from 0.
func texts() []function {
	return []function{
		{name: "concat", params: "t…", is: stock | binary, many: concat},
		{name: "lower", params: "t", is: stock | binary, run: textual(strings.ToLower)},
		{name: "upper", params: "t", is: stock | binary, run: textual(strings.ToUpper)},
		{name: "replace", params: "ttt", is: stock | binary, run: replace},
		{name: "endswith", params: "tt", is: stock, run: asking(strings.HasSuffix)},
		{name: "startswith", params: "tt", run: asking(strings.HasPrefix)},
		{name: "substr", params: "tii?", run: substr},
		{name: "trim", params: "tt?", run: trimmer(strings.Trim)},
		{name: "ltrim", params: "tt?", run: trimmer(strings.TrimLeft)},
		{name: "rtrim", params: "tt?", run: trimmer(strings.TrimRight)},
		{name: "lpad", params: "tit?", run: padder(func(s, fill string) string { return fill + s })},
		{name: "rpad", params: "tit?", run: padder(func(s, fill string) string { return s + fill })},
		{name: "split", params: "tt", run: split},
		{name: "indexof", params: "tt", run: indexOf},
		{name: "length", params: "v", run: length},
		{name: "byte_length", params: "t", run: func(_ *Env, _ *Call, s, _, _ val) val { return integer(int64(len(s.str))) }},
		{name: "reverse", params: "v", run: reverse},
		{name: "repeat", params: "ti", run: repeat},
		{name: "format", params: "tv?…", many: format},
		{name: "contains", params: "vv", run: contains},
	}
}

func textual(f func(string) string) func(*Env, *Call, val, val, val) val {
	return func(_ *Env, _ *Call, s, _, _ val) val { return text(f(s.str)) }
}

func asking(f func(a, b string) bool) func(*Env, *Call, val, val, val) val {
	return func(_ *Env, _ *Call, a, b, _ val) val { return boolean(f(a.str, b.str)) }
}

func concat(e *Env, x *Call, args []val) val {
	size := 0
	for _, a := range args {
		size += len(a.str)
	}
	if size > MaxText {
		return e.tooLong(x)
	}
	b := make([]byte, 0, size)
	for _, a := range args {
		b = append(b, a.str...)
	}
	return text(string(b))
}

func (e *Env) tooLong(x *Call) val { return e.fail(FaultLimit, x, "the text is longer than 1 MiB") }

func replace(e *Env, x *Call, s, from, to val) val {
	if from.str == "" {
		return s
	}
	if len(s.str)+strings.Count(s.str, from.str)*len(to.str) > MaxText {
		return e.tooLong(x)
	}
	return text(strings.ReplaceAll(s.str, from.str, to.str))
}

// substr is the text from a position on, negative from the end, of a length.
func substr(e *Env, x *Call, s, from, n val) val {
	start, end := from.num, int64(1)<<40
	if n.kind != vMissing {
		if n.num < 0 {
			return e.unfit(x, "a length is not negative")
		}
		if start < 0 {
			start = max(start+int64(utf8.RuneCountInString(s.str)), 0)
		}
		end = start + min(n.num, 1<<40)
	}
	return text(cut(s.str, start, min(max(end, start), 1<<40)))
}

func trimmer(f func(s, cutset string) string) func(*Env, *Call, val, val, val) val {
	return func(_ *Env, _ *Call, s, set, _ val) val {
		if set.kind == vMissing {
			return text(f(s.str, " \t\r\n"))
		}
		return text(f(s.str, set.str))
	}
}

func padder(join func(s, fill string) string) func(*Env, *Call, val, val, val) val {
	return func(e *Env, x *Call, s, width, fill val) val {
		if fill.kind == vMissing {
			fill = text(" ")
		}
		lack, size := width.num-int64(utf8.RuneCountInString(s.str)), int64(utf8.RuneCountInString(fill.str))
		if lack <= 0 || size == 0 {
			return s
		}
		if lack > MaxText/4 {
			return e.tooLong(x)
		}
		filling := strings.Repeat(fill.str, int(lack/size)+1)
		return text(join(s.str, cut(filling, 0, lack)))
	}
}

func split(e *Env, x *Call, s, sep, _ val) val {
	if sep.str == "" {
		return e.unfit(x, "there is nothing to split at")
	}
	if strings.Count(s.str, sep.str) >= MaxItems {
		return e.fail(FaultLimit, x, "the array has more than 20000 elements")
	}
	parts := strings.Split(s.str, sep.str)
	vals := make([]val, len(parts))
	for i, p := range parts {
		vals[i] = text(p)
	}
	return array(vals)
}

func indexOf(_ *Env, _ *Call, s, sub, _ val) val {
	i := strings.Index(s.str, sub.str)
	if i > 0 {
		i = utf8.RuneCountInString(s.str[:i])
	}
	return integer(int64(i))
}

// length counts the characters of a text, elements of an array or members of an object.
func length(_ *Env, _ *Call, v, _, _ val) val {
	switch {
	case v.kind <= vNull:
		return v
	case v.composite():
		return integer(int64(v.length()))
	}
	return integer(int64(utf8.RuneCountInString(v.text())))
}

func reverse(e *Env, x *Call, v, _, _ val) val {
	switch {
	case v.kind <= vNull:
		return v
	case v.isArray():
		all := v.elements()
		slices.Reverse(all)
		return array(all)
	case v.composite():
		return e.fail(FaultType, x, "an object has no order")
	}
	r := []rune(v.text())
	slices.Reverse(r)
	return text(string(r))
}

func repeat(e *Env, x *Call, s, n, _ val) val {
	if n.num < 0 {
		return e.unfit(x, "a count is not negative")
	}
	if len(s.str) == 0 {
		return s
	}
	if n.num > MaxText/int64(len(s.str)) {
		return e.tooLong(x)
	}
	return text(strings.Repeat(s.str, int(n.num)))
}

// contains tells whether a text has another in it, an array an element, or an object a member of that name.
func contains(e *Env, x *Call, v, w, _ val) val {
	switch {
	case v.kind <= vNull:
		return v
	case v.isArray():
		found := false
		cost := 1 + weigh([]val{w})
		v.each(func(_ int, o val) bool {
			found = equal(o, w)
			return !found && e.spend(x, cost)
		})
		return boolean(found)
	case w.kind <= vNull:
		return w
	case v.isObject():
		return boolean(v.member(w.text()).kind != vMissing)
	}
	return boolean(strings.Contains(v.text(), w.text()))
}
