package rulesql

import (
	"math"
	"math/bits"
)

func (c *compiler) negate(x *Unary) evaluator {
	if v, ok := literal(x); ok {
		return constant(v)
	}
	value := c.evaluator(x.X)
	return func(e *Env) val {
		switch v := value(e); v.kind {
		case vMissing, vNull:
			return v
		case vBool, vInt, vFloat:
			return negative(v)
		default:
			return e.fail(FaultType, x, "only a number has a negative")
		}
	}
}

func negative(v val) val {
	if v.kind == vFloat {
		return float(-v.float())
	}
	if v.num == math.MinInt64 {
		return float(-float64(v.num))
	}
	return integer(-v.num)
}

// arithmetic compiles + - * / %.
func (c *compiler) arithmetic(x *Binary) evaluator {
	a, b := c.evaluator(x.X), c.evaluator(x.Y)
	ints, floats := operations(x.Op)
	if x.Op == "/" && c.dialect == Stock {
		ints = quotient
	}
	divides := x.Op == "/" || x.Op == "%"
	return func(e *Env) val {
		v, w := a(e), b(e)
		if v.kind <= vNull || w.kind <= vNull { // missing wins over null
			if v.kind == vMissing || w.kind == vMissing {
				return val{}
			}
			return null()
		}
		if divides && w.number() && w.float() == 0 && v.number() {
			e.note(FaultZero, x, "division by zero")
			return null()
		}
		switch max(v.kind, w.kind) {
		case vBool, vInt:
			return ints(v.num, w.num)
		case vFloat:
			return floats(v.float(), w.float())
		case vString:
			if x.Op == "+" {
				return e.join(x, v, w)
			}
			return e.fail(FaultType, x, "a text cannot be computed with; of the operators only + takes one")
		}
		return e.fail(FaultType, x, "an array or an object cannot be computed with")
	}
}

func operations(op string) (func(a, b int64) val, func(a, b float64) val) {
	switch op {
	case "+":
		return add, func(a, b float64) val { return float(a + b) }
	case "-":
		return subtract, func(a, b float64) val { return float(a - b) }
	case "*":
		return multiply, func(a, b float64) val { return float(a * b) }
	case "/":
		return divide, divideFloats
	}
	return remainder, remainderFloats
}

func add(a, b int64) val {
	if s := a + b; (s > a) == (b > 0) {
		return integer(s)
	}
	return float(float64(a) + float64(b))
}

func subtract(a, b int64) val {
	if s := a - b; (s < a) == (b > 0) {
		return integer(s)
	}
	return float(float64(a) - float64(b))
}

func multiply(a, b int64) val {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if hi == 0 && lo <= math.MaxInt64 {
		return integer(a * b)
	}
	return float(float64(a) * float64(b))
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

// divide needs a b that is not 0, like all below.
func divide(a, b int64) val {
	if b == -1 {
		return negative(integer(a))
	}
	if a%b == 0 {
		return integer(a / b)
	}
	return float(float64(a) / float64(b))
}

// quotient is the division of integers in the stock dialect: it stays an integer, as any operation of two of them.
func quotient(a, b int64) val {
	if b == -1 {
		return negative(integer(a))
	}
	return integer(a / b)
}

func divideFloats(a, b float64) val { return float(a / b) }

func remainder(a, b int64) val {
	if b == -1 {
		return integer(0) // the machine's own would fault on the lowest integer
	}
	return integer(a % b)
}

func remainderFloats(a, b float64) val { return float(math.Mod(a, b)) }

// concatenation compiles X || Y.
func (c *compiler) concatenation(x *Binary) evaluator {
	a, b := c.evaluator(x.X), c.evaluator(x.Y)
	return func(e *Env) val {
		v, w := a(e), b(e)
		if v.kind <= vNull || w.kind <= vNull {
			return lesser(v, w)
		}
		return e.join(x, v, w)
	}
}

// join joins two values as texts.
func (e *Env) join(x Expr, v, w val) val {
	return e.made(x, string(w.appendText(v.appendText(nil))))
}

// made checks a text that was made.
func (e *Env) made(x Expr, s string) val {
	if len(s) > MaxText {
		return e.fail(FaultLimit, x, "the text is longer than 1 MiB")
	}
	if !e.spend(x, len(s)/16) {
		return val{}
	}
	return text(s)
}
