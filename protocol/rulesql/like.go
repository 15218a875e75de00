package rulesql

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

// like compiles X LIKE Pattern.
func (c *compiler) like(x *Like) condition {
	value, pattern := c.evaluator(x.X), c.evaluator(x.Pattern)
	return func(e *Env) truth {
		v, p := value(e), pattern(e)
		if v.kind < vBool || v.composite() || p.kind < vBool || p.composite() {
			return unknown
		}
		s, pattern := v.text(), p.text()
		if len(pattern) > MaxPattern {
			return e.fail(FaultLimit, x, "the pattern is longer than 512 bytes").truth()
		}
		if !e.spend(x, len(s)*len(pattern)/64) {
			return unknown
		}
		return truthOf(like(s, pattern))
	}
}

// text returns the value as a string.
func (v val) text() string {
	if v.kind == vString {
		return v.str
	}
	return string(v.appendText(nil))
}

// like matches s with a pattern: on a mismatch it goes back to the last % and lets that take one byte more, so its cost
// is at most the product of the lengths.
func like(s, pattern string) bool {
	i, j, star, mark := 0, 0, -1, 0
	for i < len(s) {
		if j < len(pattern) && pattern[j] == '%' {
			star, mark = j, i
			j++
			continue
		}
		if n, m := likeOne(s[i:], pattern[j:]); m > 0 {
			i, j = i+n, j+m
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		i, j = mark, star+1
	}
	for j < len(pattern) && pattern[j] == '%' {
		j++
	}
	return j == len(pattern)
}

// likeOne matches one character of s; it returns the bytes that it takes of s and of the pattern, 0 if it does not match.
func likeOne(s, pattern string) (n, m int) {
	if pattern == "" {
		return 0, 0
	}
	switch {
	case pattern[0] == '_':
		n = 1
		for n < len(s) && s[n]&0xC0 == 0x80 { // the rest of a UTF-8 character
			n++
		}
		return n, 1
	case pattern[0] == '\\' && len(pattern) > 1 && s[0] == pattern[1]:
		return 1, 2
	case pattern[0] == '\\' && len(pattern) > 1:
		return 0, 0
	case s[0] == pattern[0]:
		return 1, 1
	}
	return 0, 0
}

// regexp compiles X REGEXP Pattern.
func (c *compiler) regexp(x *Regexp) condition {
	value := c.evaluator(x.X)
	re := c.pattern(x.Pattern, x.line, x.column)
	return func(e *Env) truth {
		v := value(e)
		if v.kind < vBool || v.composite() {
			return unknown
		}
		s := v.text()
		if !re.spend(e, x, s) {
			return unknown
		}
		return truthOf(re.MatchString(s))
	}
}

// pattern is a regular expression and what it costs.
type pattern struct {
	*regexp.Regexp
	size int // instructions: each may be at work on each byte of a text
}

// maxInstructions bounds what a pattern with repeats is unfolded to.
const maxInstructions = 2000

// pattern compiles a constant pattern, so that what is wrong with it is said when the rule is written and no message pays for it.
func (c *compiler) pattern(x Expr, line, column int) pattern {
	none := pattern{Regexp: regexp.MustCompile("")}
	l, ok := x.(*Literal)
	if !ok || l.value.kind != vString {
		c.fail(line, column, "write it as a text in quotes", "a regular expression must be a constant")
		return none
	}
	if len(l.value.str) > MaxPattern {
		c.fail(line, column, "", fmt.Sprintf("the regular expression has %d bytes, at most %d are allowed", len(l.value.str), MaxPattern))
		return none
	}
	parsed, err := syntax.Parse(l.value.str, syntax.Perl)
	if err != nil {
		c.fail(line, column, "the syntax is that of RE2", "the regular expression is wrong: "+err.Error())
		return none
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > maxInstructions {
		c.fail(line, column, "use smaller counts in {}", "the regular expression is too large")
		return none
	}
	re, err := regexp.Compile(l.value.str)
	if err != nil {
		c.fail(line, column, "", "the regular expression is wrong: "+err.Error())
		return none
	}
	return pattern{re, len(program.Inst)}
}

// spend pays for a search in s.
func (p pattern) spend(e *Env, x Expr, s string) bool {
	return e.spend(x, len(s)/16+len(s)*p.size/512)
}
