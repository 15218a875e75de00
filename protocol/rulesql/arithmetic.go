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
			return e.fail(x, "only a number has a negative")
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
	return func(e *Env) val {
		v, w := a(e), b(e)
		if v.kind <= vNull || w.kind <= vNull { // missing wins over null
			if v.kind == vMissing || w.kind == vMissing {
				return val{}
			}
			return val{kind: vNull}
		}
		switch max(v.kind, w.kind) {
		case vBool, vInt:
			return ints(v.num, w.num)
		case vFloat:
			return floats(v.float(), w.float())
		case vString:
			if x.Op == "+" {
				return text(string(w.appendText(v.appendText(nil))))
			}
			return e.fail(x, "a text cannot be computed with; of the operators only + takes one")
		}
		return e.fail(x, "an array or an object cannot be computed with")
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

func divide(a, b int64) val {
	if b == 0 {
		return val{kind: vNull}
	}
	if b != -1 && a%b == 0 {
		return integer(a / b)
	}
	if b == -1 {
		return negative(integer(a))
	}
	return float(float64(a) / float64(b))
}

func divideFloats(a, b float64) val {
	if b == 0 {
		return val{kind: vNull}
	}
	return float(a / b)
}

func remainder(a, b int64) val {
	switch b {
	case 0:
		return val{kind: vNull}
	case -1:
		return integer(0)
	}
	return integer(a % b)
}

func remainderFloats(a, b float64) val {
	if b == 0 {
		return val{kind: vNull}
	}
	return float(math.Mod(a, b))
}
