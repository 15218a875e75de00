package zstdenc

// Literals get Huffman codes when they are text: of symbols above maxSymbol the format wants a longer description of the codes.
const (
	maxSymbol = 128
	maxBits   = 11
	minText   = 64 // fewer are not worth a description
)

// huffman makes codes for a block's literals.
type huffman struct {
	count [maxSymbol + 1]int32
	bits  [maxSymbol + 1]uint8
	code  [maxSymbol + 1]uint16
}

// append adds a section of packed literals, or nothing when they would not be shorter.
func (h *huffman) append(dst, lits []byte) ([]byte, bool) {
	if len(lits) < minText || !h.counted(lits) {
		return dst, false
	}
	h.lengths()
	head := len(dst)
	streams, width, size := 4, uint(18), 5
	switch n := len(lits); {
	case n < 1<<10:
		streams, width, size = 1, 10, 3
	case n < 1<<14:
		width, size = 14, 4
	}
	dst = append(dst, make([]byte, size)...)
	dst = h.describe(dst)
	if streams == 1 {
		dst = h.stream(dst, lits)
	} else {
		dst = h.four(dst, lits)
	}
	packed := len(dst) - head - size
	if packed >= len(lits) {
		return dst[:head], false
	}
	format := map[int]uint64{3: 0, 4: 2, 5: 3}[size]
	v := 2 | format<<2 | uint64(len(lits))<<4 | uint64(packed)<<(4+width)
	for i := range size {
		dst[head+i] = byte(v >> (8 * i))
	}
	return dst, true
}

// counted counts the symbols; false when there are others, or only one.
func (h *huffman) counted(lits []byte) bool {
	clear(h.count[:])
	for _, c := range lits {
		if c > maxSymbol {
			return false
		}
		h.count[c]++
	}
	kinds := 0
	for _, n := range h.count {
		if n > 0 {
			kinds++
		}
	}
	return kinds > 1
}

// lengths gives each symbol that is there the length of its code, at most maxBits, and the code.
func (h *huffman) lengths() {
	count := h.count
	for !h.tree(&count) { // too deep: the rare ones are made less rare
		for i, n := range count {
			if n > 0 {
				count[i] = n/2 + 1
			}
		}
	}
	longest := uint8(0)
	for _, n := range h.bits {
		longest = max(longest, n)
	}
	at := 0
	for n := longest; n > 0; n-- {
		for s := range h.bits {
			if h.bits[s] == n {
				h.code[s] = uint16(at >> (longest - n))
				at += 1 << (longest - n)
			}
		}
	}
}

// tree joins the two rarest until one is left; false when a code is longer than maxBits.
func (h *huffman) tree(count *[maxSymbol + 1]int32) bool {
	var weight [2 * (maxSymbol + 1)]int32
	var parent [2 * (maxSymbol + 1)]int16
	n := copy(weight[:], count[:])
	rarest := func(but int) int {
		best := -1
		for i := range n {
			if i != but && weight[i] > 0 && parent[i] == 0 && (best < 0 || weight[i] < weight[best]) {
				best = i
			}
		}
		return best
	}
	for {
		a := rarest(-1)
		b := rarest(a)
		if b < 0 {
			break
		}
		weight[n], parent[a], parent[b] = weight[a]+weight[b], int16(n), int16(n)
		n++
	}
	ok := true
	for s := range h.bits {
		h.bits[s] = 0
		for i := s; count[s] > 0 && parent[i] > 0; i = int(parent[i]) {
			h.bits[s]++
		}
		ok = ok && h.bits[s] <= maxBits
	}
	return ok
}

// describe adds the weights of all symbols but the last one, four bits each.
func (h *huffman) describe(dst []byte) []byte {
	last, longest := 0, uint8(0)
	for s, n := range h.bits {
		if n > 0 {
			last, longest = s, max(longest, n)
		}
	}
	weight := func(s int) byte {
		if s >= last || h.bits[s] == 0 {
			return 0
		}
		return longest + 1 - h.bits[s]
	}
	dst = append(dst, byte(127+last))
	for s := 0; s < last; s += 2 {
		dst = append(dst, weight(s)<<4|weight(s+1))
	}
	return dst
}

// stream adds literals, the last one first, as decoders read backwards.
func (h *huffman) stream(dst, lits []byte) []byte {
	w := bitWriter{b: dst}
	for i := len(lits) - 1; i >= 0; i-- {
		w.add(uint32(h.code[lits[i]]), uint(h.bits[lits[i]]))
	}
	return w.end()
}

// four adds four streams behind the sizes of the first three.
func (h *huffman) four(dst, lits []byte) []byte {
	sizes := len(dst)
	dst = append(dst, make([]byte, 6)...)
	part := (len(lits) + 3) / 4
	for i := range 4 {
		at := len(dst)
		dst = h.stream(dst, lits[i*part:min((i+1)*part, len(lits))])
		if n := len(dst) - at; i < 3 {
			dst[sizes+2*i], dst[sizes+2*i+1] = byte(n), byte(n>>8)
		}
	}
	return dst
}
