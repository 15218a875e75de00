package segment

// filter is a Bloom filter over the keys of a block: it says surely not, or perhaps. With filterBits bits a key and
// filterHashes hashes one block in a hundred is looked into for nothing.
type filter []byte

const (
	filterBits   = 10
	filterHashes = 7
	maxFilter    = 1 << 20
)

// newFilter makes the filter of a set of keys, in buf's memory when there is room.
func newFilter(buf []byte, keys map[uint64]struct{}) filter {
	n := max(8, (len(keys)*filterBits+7)/8)
	f := filter(buf[:0])
	for range n {
		f = append(f, 0)
	}
	for k := range keys {
		h, step := spread(k)
		for range filterHashes {
			bit := h % uint64(n*8)
			f[bit/8] |= 1 << (bit % 8)
			h += step
		}
	}
	return f
}

// has reports whether k may be among the keys.
func (f filter) has(k uint64) bool {
	if len(f) == 0 {
		return false
	}
	h, step := spread(k)
	for range filterHashes {
		bit := h % uint64(len(f)*8)
		if f[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
		h += step
	}
	return true
}

// spread makes two independent numbers of a key (the finalizer of SplitMix64), since keys may be counters.
func spread(k uint64) (h, step uint64) {
	k += 0x9e3779b97f4a7c15
	k = (k ^ k>>30) * 0xbf58476d1ce4e5b9
	k = (k ^ k>>27) * 0x94d049bb133111eb
	k ^= k >> 31
	return k, k>>32 | k<<32 | 1
}
