package segment

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// HeadOfFormat is the head of a file that says it has format n.
func HeadOfFormat(n uint16) []byte {
	b := appendFileHeader(nil, time.Unix(0, 0))
	binary.LittleEndian.PutUint16(b[6:], n)
	binary.LittleEndian.PutUint32(b[20:], crc32.Checksum(b[:20], castagnoli))
	return b
}
