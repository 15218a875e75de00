package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
)

// boltFile is the bytes of a bbolt file of version 2, to be read only. A reader of our own costs a fifth of a megabyte less on flash than the library, and
// damage is an error here where it is a panic or a fault there. Numbers are in the byte order of the machine that wrote them, which is this one.
type boltFile struct {
	b        []byte
	pageSize uint64
	root     uint64 // page of the bucket of buckets
	visits   int    // pages that may be visited still: those of a damaged file may form a ring
}

// Sizes and flags of the format: a page is u64 number, u16 flags, u16 count, u32 pages that follow it, elements.
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	boltPage       = 16
	boltElement    = 16
	boltMeta       = 64 // of which the last 8 are the checksum
	boltBranchFlag = 1
	boltLeafFlag   = 2
	boltBucketFlag = 1 // of an element
)

var native = binary.NativeEndian

// openBolt finds the newer meta page that is whole.
func openBolt(b []byte) (*boltFile, error) {
	f := &boltFile{b: b}
	var newest uint64
	for _, at := range boltMetas() {
		if at+boltPage+boltMeta > len(b) {
			continue
		}
		m := b[at+boltPage:][:boltMeta]
		sum := fnv.New64a()
		_, _ = sum.Write(m[:56])
		size := uint64(native.Uint32(m[8:]))
		if native.Uint32(m) != boltMagic || native.Uint32(m[4:]) != boltVersion || native.Uint64(m[56:]) != sum.Sum64() || size < 512 || at > 0 && uint64(at) != size {
			continue
		}
		if tx := native.Uint64(m[48:]); f.pageSize == 0 || tx > newest {
			newest, f.pageSize, f.root = tx, size, native.Uint64(m[16:])
		}
	}
	if f.pageSize == 0 {
		return nil, fmt.Errorf("%w: no database", errDamaged)
	}
	f.visits = len(b)/int(min(f.pageSize, uint64(len(b)))) + 1
	return f, nil
}

// boltMetas is where meta pages may be: the second is a page behind the first, which may be of any size when the first is damaged.
func boltMetas() []int {
	at := []int{0}
	for size := 512; size <= 64<<10; size *= 2 {
		at = append(at, size)
	}
	return at
}

// bucket walks the pairs of a bucket in the order of their keys; it reports false when there is no such bucket.
func (f *boltFile) bucket(name string, each func(k, v []byte) error) (found bool, err error) {
	var inner []byte
	err = f.walk(f.root, func(k, v []byte, flags uint32) error {
		if flags&boltBucketFlag != 0 && bytes.Equal(k, []byte(name)) {
			inner, found = v, true
		}
		return nil
	})
	if err != nil || !found {
		return found, err
	}
	if len(inner) < 16 {
		return true, fmt.Errorf("%w: bucket %s", errDamaged, name)
	}
	pairs := func(k, v []byte, flags uint32) error { return each(k, v) }
	if root := native.Uint64(inner); root != 0 {
		return true, f.walk(root, pairs)
	}
	return true, f.leaf(inner[16:], pairs) // a small one is a page within its parent's
}

// walk visits the pairs of a page and those below it.
func (f *boltFile) walk(id uint64, each func(k, v []byte, flags uint32) error) error {
	if f.visits--; f.visits < 0 || id > uint64(len(f.b))/f.pageSize || id*f.pageSize+boltPage > uint64(len(f.b)) {
		return fmt.Errorf("%w: page %d", errDamaged, id)
	}
	p := f.b[id*f.pageSize:]
	if size := (uint64(native.Uint32(p[12:])) + 1) * f.pageSize; size < uint64(len(p)) {
		p = p[:size]
	}
	switch flags := native.Uint16(p[8:]); {
	case native.Uint64(p) != id:
		return fmt.Errorf("%w: page %d says that it is %d", errDamaged, id, native.Uint64(p))
	case flags == boltLeafFlag:
		return f.leaf(p, each)
	case flags != boltBranchFlag:
		return fmt.Errorf("%w: page %d is of kind %x", errDamaged, id, flags)
	}
	for i := range int(native.Uint16(p[10:])) {
		at := boltPage + i*boltElement
		if at+boltElement > len(p) {
			return fmt.Errorf("%w: page %d", errDamaged, id)
		}
		if err := f.walk(native.Uint64(p[at+8:]), each); err != nil {
			return err
		}
	}
	return nil
}

func (f *boltFile) leaf(p []byte, each func(k, v []byte, flags uint32) error) error {
	if len(p) < boltPage {
		return fmt.Errorf("%w: page of %d bytes", errDamaged, len(p))
	}
	for i := range int(native.Uint16(p[10:])) {
		at := uint64(boltPage + i*boltElement)
		if at+boltElement > uint64(len(p)) {
			return fmt.Errorf("%w: element %d", errDamaged, i)
		}
		e := p[at:]
		pos, k, v := uint64(native.Uint32(e[4:])), uint64(native.Uint32(e[8:])), uint64(native.Uint32(e[12:]))
		if pos+k+v > uint64(len(e)) {
			return fmt.Errorf("%w: element %d", errDamaged, i)
		}
		if err := each(e[pos:pos+k], e[pos+k:pos+k+v], native.Uint32(e)); err != nil {
			return err
		}
	}
	return nil
}
