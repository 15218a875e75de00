package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
)

// bbolt believes its pages, and what it finds at its start in a damaged one ends the program on a goroutine of its own. So the file is read by this before
// it is opened: everything that can be reached from the newer meta page must be as bbolt writes it.

// The layout of a bbolt file of version 2, in the machine's own byte order.
const (
	pageHeader = 16 // id u64, flags u16, count u16, overflow u32
	element    = 16 // leaf: flags, pos, key size, value size, u32 each; branch: pos u32, key size u32, page u64
	metaSize   = 64 // magic u32, version u32, page size u32, flags u32, root u64, sequence u64, freelist u64, high water u64, transaction u64, sum u64
	bucketHead = 16 // root u64, sequence u64

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	noFreelist  = 1<<64 - 1

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	maxDepth = 32
)

var order = binary.NativeEndian

// walker reads the pages of a file.
type walker struct {
	b        []byte
	pageSize uint64
	high     uint64 // pages that the file says to have
	seen     map[uint64]bool
	live     int64 // bytes of keys and values
}

// verify returns how many bytes live in a file, or errDamaged.
func verify(b []byte) (live int64, err error) {
	w := walker{b: b, seen: make(map[uint64]bool)}
	root, freelist, err := w.meta()
	if err != nil {
		return 0, err
	}
	if freelist != noFreelist {
		if _, flags, err := w.page(freelist); err != nil || flags != flagFreelist {
			return 0, fmt.Errorf("%w: list of free pages", errDamaged)
		}
	}
	err = w.tree(root, nil, nil, 0)
	return w.live, err
}

// meta finds the newer of the two meta pages that are whole.
func (w *walker) meta() (root, freelist uint64, err error) {
	var newest uint64
	found := false
	for _, size := range []uint64{4096, 8192, 16384, 65536, 1024, 2048, 32768} {
		for i := range uint64(2) {
			at := i*size + pageHeader
			if at+metaSize > uint64(len(w.b)) {
				continue
			}
			m := w.b[at : at+metaSize]
			sum := fnv.New64a()
			sum.Write(m[:metaSize-8])
			if order.Uint32(m) != metaMagic || order.Uint32(m[4:]) != metaVersion || uint64(order.Uint32(m[8:])) != size ||
				sum.Sum64() != order.Uint64(m[56:]) || order.Uint16(w.b[i*size+8:]) != flagMeta || order.Uint64(w.b[i*size:]) != i {
				continue
			}
			if tx := order.Uint64(m[48:]); !found || tx > newest {
				found, newest, w.pageSize = true, tx, size
				root, freelist, w.high = order.Uint64(m[16:]), order.Uint64(m[32:]), order.Uint64(m[40:])
			}
		}
	}
	if !found || w.high < 4 || w.high > uint64(len(w.b))/w.pageSize {
		return 0, 0, fmt.Errorf("%w: no whole meta page", errDamaged)
	}
	return root, freelist, nil
}

// page returns a page that was not seen yet, with those that it runs over into.
func (w *walker) page(id uint64) (p []byte, flags uint16, err error) {
	if id < 2 || id >= w.high {
		return nil, 0, fmt.Errorf("%w: page %d of %d", errDamaged, id, w.high)
	}
	p = w.b[id*w.pageSize:]
	flags, over := order.Uint16(p[8:]), uint64(order.Uint32(p[12:]))
	if order.Uint64(p) != id || over >= w.high-id {
		return nil, 0, fmt.Errorf("%w: page %d", errDamaged, id)
	}
	for n := id; n <= id+over; n++ {
		if w.seen[n] {
			return nil, 0, fmt.Errorf("%w: page %d is there twice", errDamaged, n)
		}
		w.seen[n] = true
	}
	return p[:(over+1)*w.pageSize], flags, nil
}

// tree reads the page and all below it. Keys are not below least, and below limit, where these are not nil.
func (w *walker) tree(id uint64, least, limit []byte, depth int) error {
	p, flags, err := w.page(id)
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("%w: too deep", errDamaged)
	}
	return w.elements(p, flags, least, limit, depth)
}

// elements reads what is in a page.
func (w *walker) elements(p []byte, flags uint16, least, limit []byte, depth int) error {
	n := int(order.Uint16(p[10:]))
	if flags != flagLeaf && (flags != flagBranch || n == 0) || pageHeader+n*element > len(p) {
		return fmt.Errorf("%w: a page with flags %#x and %d elements", errDamaged, flags, n)
	}
	key := func(i int) (k, v []byte, ok bool) {
		at := pageHeader + i*element
		e := p[at : at+element]
		pos, keys, values := uint64(order.Uint32(e[4:])), uint64(order.Uint32(e[8:])), uint64(order.Uint32(e[12:]))
		if flags == flagBranch {
			pos, keys, values = uint64(order.Uint32(e)), uint64(order.Uint32(e[4:])), 0
		}
		from := uint64(at) + pos
		if pos < uint64(n-i)*element || from+keys+values > uint64(len(p)) {
			return nil, nil, false
		}
		return p[from : from+keys], p[from+keys : from+keys+values], true
	}
	var last []byte
	for i := range n {
		k, v, ok := key(i)
		if !ok || i > 0 && bytes.Compare(k, last) <= 0 || bytes.Compare(k, least) < 0 || limit != nil && bytes.Compare(k, limit) >= 0 {
			return fmt.Errorf("%w: element %d of %d", errDamaged, i, n)
		}
		last = k
		e := p[pageHeader+i*element:]
		var err error
		switch {
		case flags == flagLeaf && order.Uint32(e) == 0:
			w.live += int64(len(k) + len(v))
		case flags == flagLeaf:
			err = w.bucket(v, order.Uint32(e), depth)
		default:
			upper := limit
			if i+1 < n {
				if upper, _, ok = key(i + 1); !ok {
					return fmt.Errorf("%w: element %d of %d", errDamaged, i+1, n)
				}
			}
			err = w.tree(order.Uint64(e[8:]), k, upper, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket reads one: a tree of its own, or a page within the value.
func (w *walker) bucket(v []byte, flags uint32, depth int) error {
	if flags != 1 || len(v) < bucketHead || depth > maxDepth {
		return fmt.Errorf("%w: a bucket", errDamaged)
	}
	if root := order.Uint64(v); root != 0 {
		return w.tree(root, nil, nil, depth+1)
	}
	p := v[bucketHead:]
	if len(p) < pageHeader || order.Uint16(p[8:]) != flagLeaf {
		return fmt.Errorf("%w: a small bucket", errDamaged)
	}
	return w.elements(p, flagLeaf, nil, nil, depth+1)
}
