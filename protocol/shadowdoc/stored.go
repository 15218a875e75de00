package shadowdoc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// The stored form, version 1. Integers are varints as encoding/binary has them (u: unsigned, s: zig-zag).
//
//	offset  size  content
//	0       1     1, the version of this form
//	1       u     Version
//	        u     Revision
//	        s     Timestamp, Unix seconds
//	        …     Reported, a section
//	        …     Desired, a section
//	end-4   4     CRC-32C of all before it, little endian
//
// A section is its number of keys (u) and then for each key, ascending: length (u) and bytes of the key, length (u) and
// bytes of the value in JSON, seconds from the document's Timestamp to the key's (s), length (u) and bytes of the
// metadata in JSON, 0 when the key has one Timestamp.
const storedVersion = 1

// ErrStored is wrapped by the errors of Decode: the stored form is damaged or of a version that this program is too
// old to know. The document can be had from a backup, or from the device, whose next update with version -1 rebuilds it.
var ErrStored = errors.New("shadowdoc: bad stored document")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the stored form; equal documents have equal ones.
func (d *Document) Encode() []byte {
	b := make([]byte, 0, 32+d.reported.storedSize()+d.desired.storedSize())
	b = append(b, storedVersion)
	b = binary.AppendUvarint(b, uint64(d.Version))
	b = binary.AppendUvarint(b, uint64(d.Revision))
	b = binary.AppendVarint(b, d.Timestamp)
	b = d.reported.appendStored(b, d.Timestamp)
	b = d.desired.appendStored(b, d.Timestamp)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func (s section) storedSize() int {
	n := 4
	for i := range s {
		n += len(s[i].key) + len(s[i].value) + len(s[i].meta) + 10
	}
	return n
}

func (s section) appendStored(b []byte, at int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	for i := range s {
		e := &s[i]
		b = append(binary.AppendUvarint(b, uint64(len(e.key))), e.key...)
		b = append(binary.AppendUvarint(b, uint64(len(e.value))), e.value...)
		b = binary.AppendVarint(b, e.stamp-at)
		b = append(binary.AppendUvarint(b, uint64(len(e.meta))), e.meta...)
	}
	return b
}

// Decode reads the stored form. It keeps nothing of stored. It refuses what Encode does not write; that the values are
// JSON it takes from the checksum.
func Decode(stored []byte) (*Document, error) {
	if len(stored) < 5 {
		return nil, fmt.Errorf("%w: %d bytes are too few", ErrStored, len(stored))
	}
	if stored[0] != storedVersion {
		return nil, fmt.Errorf("%w: version %d of the stored form is not known here", ErrStored, stored[0])
	}
	end := len(stored) - 4
	if crc32.Checksum(stored[:end], castagnoli) != binary.LittleEndian.Uint32(stored[end:]) {
		return nil, fmt.Errorf("%w: the checksum does not fit", ErrStored)
	}
	r := storedReader{raw: stored[:end], text: string(stored[:end]), at: 1}
	d := &Document{}
	version, revision := r.uvarint(), r.uvarint()
	if version > math.MaxInt32 || revision > math.MaxInt64 {
		return nil, fmt.Errorf("%w: a counter is out of range", ErrStored)
	}
	d.Version, d.Revision, d.Timestamp = int32(version), int64(revision), r.varint()
	d.reported = r.section(d.Timestamp)
	d.desired = r.section(d.Timestamp)
	if r.bad || r.at != len(r.raw) {
		return nil, fmt.Errorf("%w: the content ends at byte %d of %d", ErrStored, r.at, len(r.raw))
	}
	return d, nil
}

// storedReader reads fields one after the other; after the first that does not fit, bad is set and all else is zero.
type storedReader struct {
	raw  []byte
	text string // the same bytes, which keys and values share
	at   int
	bad  bool
}

func (r *storedReader) uvarint() uint64 {
	if r.at < len(r.raw) && r.raw[r.at] < 0x80 && !r.bad { // nearly all of them
		r.at++
		return uint64(r.raw[r.at-1])
	}
	v, n := binary.Uvarint(r.raw[r.at:])
	return uint64(r.take(int64(v), n))
}

func (r *storedReader) varint() int64 {
	v, n := binary.Varint(r.raw[r.at:])
	return r.take(v, n)
}

func (r *storedReader) take(v int64, n int) int64 {
	if n <= 0 || r.bad || n > 1 && r.raw[r.at+n-1] == 0 { // a longer spelling than needed is damage too
		r.bad = true
		return 0
	}
	r.at += n
	return v
}

func (r *storedReader) str() string {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.raw)-r.at) {
		r.bad = true
		return ""
	}
	s := r.text[r.at : r.at+int(n)]
	r.at += int(n)
	return s
}

// section reads one; the smallest key takes four bytes, which bounds what a false count can make it allocate.
func (r *storedReader) section(at int64) section {
	n := r.uvarint()
	if r.bad || n == 0 {
		return nil
	}
	if n > uint64(len(r.raw)-r.at)/4 {
		r.bad = true
		return nil
	}
	s := make(section, n)
	for i := range s {
		e := &s[i]
		e.key, e.value = r.str(), r.str()
		e.stamp = at + r.varint()
		e.meta = r.str()
		if r.bad || i > 0 && e.key <= s[i-1].key {
			r.bad = true
			return nil
		}
	}
	return s
}
