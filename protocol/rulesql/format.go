package rulesql

import (
	"fmt"
	"strconv"
	"strings"
)

// format is format('%s is %.1f', name, t): %s any value as a text, %d and %x whole numbers, %f %e %g numbers, %% a percent sign; flags,
// width and precision as in C.
func format(e *Env, x *Call, args []val) val {
	rest, next := args[0].str, 1
	var b strings.Builder
	for {
		before, after, found := strings.Cut(rest, "%")
		b.WriteString(before)
		if !found {
			break
		}
		if strings.HasPrefix(after, "%") {
			b.WriteByte('%')
			rest = after[1:]
			continue
		}
		verb, n := directive(after)
		if n == 0 {
			return e.unfit(x, "after % stands one of s d x X f e g, perhaps with flags, a width and a precision up to 99")
		}
		if next == len(args) {
			return e.unfit(x, "there are fewer values than the text has places for")
		}
		v := args[next]
		next++
		rest = after[n:]
		if v.kind <= vNull {
			return lesser(v, null())
		}
		out, ok := e.formatted(x, verb, v)
		if !ok {
			return out
		}
		b.WriteString(out.str)
		if b.Len() > MaxText {
			return e.tooLong(x)
		}
	}
	return text(b.String())
}

// directive reads flags, width, precision and verb; n is their length, 0 if they are none.
func directive(s string) (verb string, n int) {
	i := 0
	for i < len(s) && strings.IndexByte("-+0 #", s[i]) >= 0 {
		i++
	}
	number := func() bool {
		start := i
		for i < len(s) && digit(s[i]) {
			i++
		}
		v, _ := strconv.Atoi(s[start:i])
		return v <= 99
	}
	if i > 5 || !number() {
		return "", 0
	}
	if i < len(s) && s[i] == '.' {
		if i++; !number() {
			return "", 0
		}
	}
	if i == len(s) || strings.IndexByte("sdxXfeg", s[i]) < 0 {
		return "", 0
	}
	return "%" + s[:i+1], i + 1
}

func (e *Env) formatted(x *Call, verb string, v val) (val, bool) {
	switch verb[len(verb)-1] {
	case 's':
		return text(fmt.Sprintf(verb, v.text())), true
	case 'd', 'x', 'X':
		n, ok := e.argument(x, 0, 'i', v)
		if !ok {
			return n, false
		}
		return text(fmt.Sprintf(verb, n.num)), true
	}
	n, ok := e.argument(x, 0, 'n', v)
	if !ok {
		return n, false
	}
	return text(fmt.Sprintf(verb, n.float())), true
}
