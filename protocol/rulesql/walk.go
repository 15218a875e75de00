package rulesql

// Walk calls visit for x and, where visit returns true, for what it is made of, in the order in which it is written.
func Walk(x Expr, visit func(Expr) bool) {
	if x == nil || !visit(x) {
		return
	}
	for _, child := range Children(x) {
		Walk(child, visit)
	}
}

// Children returns the expressions that x is directly made of, in the order in which they are written.
func Children(x Expr) []Expr {
	switch x := x.(type) {
	case *Call:
		return x.Args
	case *Unary:
		return []Expr{x.X}
	case *Binary:
		return []Expr{x.X, x.Y}
	case *In:
		return append([]Expr{x.X}, x.List...)
	case *Like:
		return []Expr{x.X, x.Pattern}
	case *Regexp:
		return []Expr{x.X, x.Pattern}
	case *Is:
		return []Expr{x.X}
	case *Between:
		return []Expr{x.X, x.Low, x.High}
	case *Case:
		return x.children()
	case *Access:
		return []Expr{x.X}
	case *Element:
		return []Expr{x.X, x.At}
	case *Slice:
		return present(x.X, x.From, x.To)
	case *List:
		return x.Items
	case *Object:
		var out []Expr
		for _, m := range x.Members {
			out = append(out, m.Value)
		}
		return out
	case *Select:
		return x.children()
	}
	return nil
}

func (x *Case) children() []Expr {
	out := present(x.X)
	for _, w := range x.Whens {
		out = append(out, w.If, w.Then)
	}
	return append(out, present(x.Else)...)
}

func (x *Select) children() []Expr {
	out := present(x.Value)
	for _, f := range x.Fields {
		out = append(out, present(f.Expr)...)
	}
	return append(append(out, x.List), present(x.Where)...)
}

// present leaves out those that are nil.
func present(list ...Expr) []Expr {
	var out []Expr
	for _, x := range list {
		if x != nil {
			out = append(out, x)
		}
	}
	return out
}

// Walk calls visit for the expressions of the whole query.
func (q *Query) Walk(visit func(Expr) bool) {
	if q.Foreach != nil {
		Walk(q.Foreach.List, visit)
	}
	for _, f := range q.Fields {
		Walk(f.Expr, visit)
	}
	if q.Foreach != nil {
		Walk(q.Foreach.Incase, visit)
	}
	Walk(q.Where, visit)
}
