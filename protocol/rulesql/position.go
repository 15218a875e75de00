package rulesql

// Position finds an expression of the query by how it prints, as an EvalError has it, and says where it is written: line and
// column, from 1, of the first field or function in it. ok is false for an expression that has neither, or is not there.
func (q *Query) Position(expr string) (line, column int, ok bool) {
	q.Walk(func(x Expr) bool {
		if !ok && x.String() == expr {
			line, column, ok = position(x)
		}
		return !ok
	})
	return line, column, ok
}

func position(x Expr) (line, column int, ok bool) {
	Walk(x, func(x Expr) bool {
		if ok {
			return false
		}
		switch x := x.(type) {
		case *Path:
			line, column, ok = x.line, x.column, true
		case *Call:
			line, column, ok = x.line, x.column, true
		}
		// A call is written before its arguments, so what comes first in the tree is what comes first in the text.
		return !ok
	})
	return line, column, ok
}
