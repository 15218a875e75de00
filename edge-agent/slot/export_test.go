package slot

import (
	"encoding/binary"
	"hash/crc32"
)

// SetChecksum writes the checksum of what is behind head into b.
func SetChecksum(b []byte, head int) { binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[head:])) }

// Before makes a driver ask before each change of a file.
func (g *GRUB) Before(ask func(string) error)  { g.files.before = ask }
func (l *Links) Before(ask func(string) error) { l.files.before = ask }
