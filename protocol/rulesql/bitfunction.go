package rulesql

import "math/bits"

// bitwise are the functions of the bits of whole numbers.
func bitwise() []function {
	return []function{
		{name: "bitand", params: "ii", run: onBits(func(a, b int64) int64 { return a & b })},
		{name: "bitor", params: "ii", run: onBits(func(a, b int64) int64 { return a | b })},
		{name: "bitxor", params: "ii", run: onBits(func(a, b int64) int64 { return a ^ b })},
		{name: "bitnot", params: "i", run: onBits(func(a, _ int64) int64 { return ^a })},
		{name: "shiftleft", params: "ii", run: shift(func(a int64, n uint) int64 { return a << n })},
		{name: "shiftright", params: "ii", run: shift(func(a int64, n uint) int64 { return a >> n })},
		{name: "bit_count", params: "i", run: onBits(func(a, _ int64) int64 { return int64(bits.OnesCount64(uint64(a))) })},
		{name: "bit_get", params: "iii?", run: bitGet},
	}
}

func onBits(f func(a, b int64) int64) func(*Env, *Call, val, val, val) val {
	return func(_ *Env, _ *Call, a, b, _ val) val { return integer(f(a.num, b.num)) }
}

func shift(f func(a int64, n uint) int64) func(*Env, *Call, val, val, val) val {
	return func(e *Env, x *Call, a, n, _ val) val {
		if n.num < 0 || n.num > 63 {
			return e.unfit(x, "bits are shifted by 0 to 63 places")
		}
		return integer(f(a.num, uint(n.num)))
	}
}

// bitGet is the number that some bits of another make, from the position of the lowest; one bit without a count.
func bitGet(e *Env, x *Call, v, from, count val) val {
	if count.kind == vMissing {
		count = integer(1)
	}
	if from.num < 0 || count.num < 1 || from.num+count.num > 64 || from.num > 63 {
		return e.unfit(x, "bits are counted from 0 to 63")
	}
	return integer(int64(uint64(v.num) >> uint(from.num) & (1<<uint(count.num) - 1)))
}
