package zstdenc

import (
	"encoding/binary"
	"math/bits"
)

// The search for matches: a table of where four bytes were last.
const (
	hashLog  = 14
	minMatch = 4 // at the last distance
	newMatch = 6 // at another one
)

// blocks makes blocks of a frame.
type blocks struct {
	last  [1 << hashLog]int32 // where bytes with that hash were last, plus one
	rep   int                 // the last distance
	seqs  []sequence
	lits  []byte
	codes huffman

	counts [3][64]int32 // of the codes of literals, offsets and matches
}

// sequence is literals, and a match behind them.
type sequence struct{ lit, match, offset int } // offset as it is in the format: the distance plus 3, or 1 for the last one again

func (b *blocks) reset() {
	clear(b.last[:])
	b.rep = 1
}

// slide forgets the first n bytes of what was packed.
func (b *blocks) slide(n int) {
	for i, at := range b.last {
		b.last[i] = max(at-int32(n), 0)
	}
}

func hash(v uint32) uint32 { return v * 2654435761 >> (32 - hashLog) }

// append adds the block of src[from:to], which matches may refer to what is before from.
func (b *blocks) append(dst, src []byte, from, to int, last bool) []byte {
	end := uint32(0)
	if last {
		end = 1
	}
	head := len(dst)
	dst = append(dst, 0, 0, 0)
	rep := b.rep
	b.find(src[:to], from)
	dst = b.literals(dst)
	dst = b.sequences(dst)
	kind, n := uint32(2), len(dst)-head-3
	if n >= to-from {
		b.rep = rep // a raw block changes no distance
		dst = append(dst[:head+3], src[from:to]...)
		kind, n = 0, to-from
	}
	h := end | kind<<1 | uint32(n)<<3
	dst[head], dst[head+1], dst[head+2] = byte(h), byte(h>>8), byte(h>>16)
	return dst
}

// find divides src from from on into sequences and literals.
func (b *blocks) find(src []byte, from int) {
	b.seqs, b.lits = b.seqs[:0], b.lits[:0]
	anchor := from
	for i := from; i+minMatch+4 <= len(src); {
		v := binary.LittleEndian.Uint32(src[i:])
		h := hash(v)
		at := int(b.last[h]) - 1
		b.last[h] = int32(i + 1)
		if r := i - b.rep; i > anchor && r >= 0 && binary.LittleEndian.Uint32(src[r:]) == v {
			at = r
		}
		if at < 0 || i-at > window || binary.LittleEndian.Uint32(src[at:]) != v {
			i += 1 + (i-anchor)>>6 // faster where nothing is found
			continue
		}
		if i-at != b.rep {
			if k := b.ahead(src, i); k > 0 {
				i, at = i+k, i+k-b.rep
			}
		}
		start := i
		for i > anchor && at > 0 && src[i-1] == src[at-1] {
			i, at = i-1, at-1
		}
		n := minMatch
		for i+n < len(src) && src[at+n] == src[i+n] {
			n++
		}
		if n < newMatch && i-at != b.rep { // a distance costs what a short match saves
			i = max(i, start) + 1
			continue
		}
		s := sequence{i - anchor, n, i - at + 3}
		if i-at == b.rep && s.lit > 0 {
			s.offset = 1
		}
		b.rep = i - at
		b.seqs = append(b.seqs, s)
		b.lits = append(b.lits, src[anchor:i]...)
		for k := i + 1; k < i+n && k+4 <= len(src); k += 2 {
			b.last[hash(binary.LittleEndian.Uint32(src[k:]))] = int32(k + 1)
		}
		i += n
		anchor = i
	}
	b.lits = append(b.lits, src[anchor:]...)
}

// ahead is how many bytes behind i the last distance has a long match, 0 when it has none near.
func (b *blocks) ahead(src []byte, i int) int {
	for k := 1; k <= 3 && i+k+8 <= len(src) && i+k >= b.rep; k++ {
		if binary.LittleEndian.Uint64(src[i+k:]) == binary.LittleEndian.Uint64(src[i+k-b.rep:]) {
			return k
		}
	}
	return 0
}

// literals adds the section of literals.
func (b *blocks) literals(dst []byte) []byte {
	if packed, ok := b.codes.append(dst, b.lits); ok {
		return packed
	}
	n := uint32(len(b.lits))
	switch {
	case n < 32:
		dst = append(dst, byte(n<<3))
	case n < 1<<12:
		dst = append(dst, byte(1<<2|n<<4), byte(n>>4))
	default:
		dst = append(dst, byte(3<<2|n<<4), byte(n>>4), byte(n>>12))
	}
	return append(dst, b.lits...)
}

// sequences adds the section of sequences.
func (b *blocks) sequences(dst []byte) []byte {
	n := len(b.seqs)
	switch {
	case n == 0:
		return append(dst, 0)
	case n < 128:
		dst = append(dst, byte(n))
	case n < 0x7F00:
		dst = append(dst, byte(n>>8+128), byte(n))
	default:
		dst = append(dst, 255, byte(n-0x7F00), byte((n-0x7F00)>>8))
	}
	for k := range b.counts {
		clear(b.counts[k][:])
	}
	for i := range b.seqs {
		s := &b.seqs[i]
		b.counts[0][codeOf(litBase, s.lit)]++
		b.counts[1][bits.Len(uint(s.offset))-1]++
		b.counts[2][codeOf(matchBase, s.match)]++
	}
	modes := len(dst)
	dst = append(dst, 0)
	var t [3]*table
	for k, own := range []*table{&litTable, &offsetTable, &matchTable} {
		var mode byte
		t[k], mode, dst = choose(dst, own, b.counts[k][:], n)
		dst[modes] |= mode << (6 - 2*k)
	}
	return b.bits(dst, t[0], t[1], t[2])
}

// bits adds the sequences by the tables.
func (b *blocks) bits(dst []byte, litTable, offsetTable, matchTable *table) []byte {
	w := bitWriter{b: dst}
	var lit, match, offset state
	n := len(b.seqs)
	for i := n - 1; i >= 0; i-- { // decoders read backwards
		s := &b.seqs[i]
		ll, ml, of := codeOf(litBase, s.lit), codeOf(matchBase, s.match), bits.Len(uint(s.offset))-1
		if i == n-1 {
			match.begin(matchTable, ml)
			offset.begin(offsetTable, of)
			lit.begin(litTable, ll)
		} else {
			offset.encode(&w, offsetTable, of)
			match.encode(&w, matchTable, ml)
			lit.encode(&w, litTable, ll)
		}
		w.add(uint32(s.lit)-litBase[ll], extra(litBase, ll))
		w.add(uint32(s.match)-matchBase[ml], extra(matchBase, ml))
		w.add(uint32(s.offset)-1<<of, uint(of))
	}
	w.add(uint32(match), matchTable.log)
	w.add(uint32(offset), offsetTable.log)
	w.add(uint32(lit), litTable.log)
	return w.end()
}

// bitWriter writes bits, the lowest first.
type bitWriter struct {
	b   []byte
	acc uint64
	n   uint
}

// add writes the lowest n bits of v, up to 32.
func (w *bitWriter) add(v uint32, n uint) {
	w.acc |= uint64(v) & (1<<n - 1) << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.b = append(w.b, byte(w.acc))
		w.acc >>= 8
	}
}

// end writes the mark behind the last bit.
func (w *bitWriter) end() []byte {
	w.add(1, 1)
	return w.pad()
}

// pad fills the last byte.
func (w *bitWriter) pad() []byte {
	if w.n > 0 {
		w.b = append(w.b, byte(w.acc))
	}
	w.acc, w.n = 0, 0
	return w.b
}
