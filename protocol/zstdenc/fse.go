package zstdenc

import (
	"math/bits"
	"sort"
)

// Where the codes of lengths begin; those between have the extra bits that lead to the next one.
var (
	litBase = []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128, 256, 512, 1024, 2048, 4096, 8192,
		16384, 32768, 65536, 131072}
	matchBase = []uint32{3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 37, 39,
		41, 43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099, 8195, 16387, 32771, 65539, 131075}
)

func codeOf(base []uint32, n int) int {
	return sort.Search(len(base)-1, func(i int) bool { return base[i+1] > uint32(n) })
}

func extra(base []uint32, code int) uint { return uint(bits.Len32(base[code+1]-base[code]) - 1) }

// The format's own distributions; -1 is a symbol with less than one part.
var (
	litTable = newTable(6, []int16{4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1})
	// Of 53 codes of a match's length, 32 and more are of one value each.
	matchTable  = newTable(6, []int16{1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1})
	offsetTable = newTable(5, []int16{1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1})
)

// table is how a state goes on with each symbol (FSE).
type table struct {
	log    uint
	next   []uint16
	deltas []delta // by symbol
}

// delta is of one symbol: how many bits a state gives up, and where the next state is looked up.
type delta struct {
	bits  int32 // number of bits << 16, less the lowest state that gives up as many
	where int32
}

func newTable(log uint, norm []int16) table {
	size := 1 << log
	t := table{log: log, next: make([]uint16, size), deltas: make([]delta, len(norm))}
	symbols, high := make([]int, size), size
	starts := make([]int, len(norm))
	total := 0
	for s, n := range norm {
		starts[s] = total
		if n == -1 {
			high--
			symbols[high] = s
			n = 1
		}
		most := int32(log)
		if n > 1 {
			most -= int32(bits.Len16(uint16(n-1)) - 1)
		}
		low := int32(n) << most
		t.deltas[s] = delta{most<<16 - low, int32(total) - int32(n)}
		total += int(n)
	}
	at, step := 0, size>>1+size>>3+3
	for s, n := range norm {
		for range max(n, 0) {
			symbols[at] = s
			for at = (at + step) & (size - 1); at >= high; {
				at = (at + step) & (size - 1)
			}
		}
	}
	for u, s := range symbols {
		t.next[starts[s]] = uint16(size + u)
		starts[s]++
	}
	return t
}

// The ways of the format to say which table is used.
const (
	modeOwn  = 0 // the format's
	modeOne  = 1 // there is one symbol
	modeHere = 2 // the distribution is told
)

// tableFrom is from how many sequences on a table of their own pays for its description.
const tableFrom = 40

// choose is the table for n codes that are so frequent, with what a decoder must be told of it.
func choose(dst []byte, own *table, count []int32, n int) (*table, byte, []byte) {
	last, kinds := 0, 0
	for s, c := range count {
		if c > 0 {
			last, kinds = s, kinds+1
		}
	}
	if kinds == 1 && n > 2 {
		one := make([]int16, last+1)
		one[last] = 1
		t := newTable(0, one)
		return &t, modeOne, append(dst, byte(last))
	}
	if n < tableFrom {
		return own, modeOwn, dst
	}
	log := uint(min(max(bits.Len(uint(n))-2, bits.Len(uint(kinds))+1, 5), 8))
	norm := normalize(count[:last+1], n, log)
	t := newTable(log, norm)
	return &t, modeHere, describe(dst, norm, log)
}

// normalize makes a distribution of 1<<log parts, with at least one for each symbol that is there.
func normalize(count []int32, n int, log uint) []int16 {
	norm := make([]int16, len(count))
	left, most := int16(1)<<log, 0
	for s, c := range count {
		if c == 0 {
			continue
		}
		norm[s] = max(int16((int64(c)<<log+int64(n)/2)/int64(n)), 1)
		if left -= norm[s]; norm[s] > norm[most] {
			most = s
		}
	}
	for ; left < 0; left++ { // the most frequent ones give what is too much
		for s := range norm {
			if norm[s] > norm[most] {
				most = s
			}
		}
		norm[most]--
	}
	norm[most] += left
	return norm
}

// describe adds a distribution.
func describe(dst []byte, norm []int16, log uint) []byte {
	w := bitWriter{b: dst}
	w.add(uint32(log)-5, 4)
	left, width, step := 1<<log+1, log+1, 1<<log
	for s := 0; s < len(norm); {
		c := int(norm[s])
		s++
		short := 2*step - 1 - left // so many values need one bit less
		left -= c
		v := c + 1
		if v >= step {
			v += short
		}
		n := width
		if v < short {
			n--
		}
		w.add(uint32(v), n)
		for left < step && step > 1 {
			width, step = width-1, step>>1
		}
		if c == 0 { // how many more zeros
			first := s
			for s < len(norm) && norm[s] == 0 {
				s++
			}
			zeros := s - first
			for ; zeros >= 3; zeros -= 3 {
				w.add(3, 2)
			}
			w.add(uint32(zeros), 2)
		}
	}
	return w.pad()
}

// state is that of one kind of symbols.
type state uint32

func (s *state) begin(t *table, symbol int) {
	d := t.deltas[symbol]
	n := (d.bits + 1<<15) >> 16
	*s = state(t.next[(n<<16-d.bits)>>n+d.where])
}

func (s *state) encode(w *bitWriter, t *table, symbol int) {
	d := t.deltas[symbol]
	n := (int32(*s) + d.bits) >> 16
	w.add(uint32(*s), uint(n))
	*s = state(t.next[int32(*s)>>n+d.where])
}
