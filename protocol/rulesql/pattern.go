package rulesql

// patterns are the functions of regular expressions, which are constants in the syntax of RE2.
func patterns() []function {
	return []function{
		{name: "regexp_matches", params: "tt", compile: searching(func(_ *Env, _ *Call, re pattern, s string, _ val) val { return boolean(re.MatchString(s)) })},
		{name: "regexp_extract", params: "tti?", compile: searching(regexpExtract)},
		{name: "regexp_extract_all", params: "tt", compile: searching(regexpExtractAll)},
		{name: "regexp_count", params: "tt", compile: searching(func(_ *Env, _ *Call, re pattern, s string, _ val) val {
			return integer(int64(len(re.FindAllStringIndex(s, -1))))
		})},
		{name: "regexp_replace", params: "ttt", compile: searching(regexpReplace)},
	}
}

// searching compiles a function of a text, a pattern, which is its second argument, and perhaps one thing more.
func searching(run func(e *Env, x *Call, re pattern, s string, more val) val) func(*compiler, *Call) evaluator {
	return func(c *compiler, x *Call) evaluator {
		value, re, more := c.evaluator(x.Args[0]), c.pattern(x.Args[1], x.line, x.column), constant(val{})
		if len(x.Args) > 2 {
			more = c.evaluator(x.Args[2])
		}
		return func(e *Env) val {
			s, ok := e.argument(x, 0, 't', value(e))
			if !ok {
				return s
			}
			third := more(e)
			if len(x.Args) > 2 && third.kind <= vNull {
				return third
			}
			if !re.spend(e, x, s.str) {
				return val{}
			}
			return e.result(x, run(e, x, re, s.str, third))
		}
	}
}

// regexpExtract is what the pattern matches first, or what its n-th group does; null if there is none.
func regexpExtract(e *Env, x *Call, re pattern, s string, group val) val {
	if group.kind == vMissing {
		group = integer(0)
	}
	if group.kind != vInt || group.num < 0 || group.num > int64(re.NumSubexp()) {
		return e.unfit(x, "the pattern has no such group")
	}
	m := re.FindStringSubmatchIndex(s)
	if m == nil || m[2*group.num] < 0 {
		return null()
	}
	return text(s[m[2*group.num]:m[2*group.num+1]])
}

func regexpExtractAll(_ *Env, _ *Call, re pattern, s string, _ val) val {
	var vals []val
	for _, m := range re.FindAllString(s, MaxItems+1) {
		vals = append(vals, text(m))
	}
	return array(vals)
}

// regexpReplace puts with in the place of each match; $1 in it stands for what the first group matched.
func regexpReplace(e *Env, x *Call, re pattern, s string, with val) val {
	template := with.text()
	if n := len(re.FindAllStringIndex(s, -1)); n*(len(template)+1) > MaxText || n > 0 && len(template)/2*len(s) > 4*MaxText {
		return e.tooLong(x)
	}
	return text(re.ReplaceAllString(s, template))
}
