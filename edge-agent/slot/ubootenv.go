package slot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
)

// MaxEnvironment bounds the size of an environment.
const MaxEnvironment = 1 << 20

// The head of a copy: a checksum, and with two copies a flag.
const (
	crcSize  = 4
	flagSize = 1
)

func headSize(redundant bool) int {
	if redundant {
		return crcSize + flagSize
	}
	return crcSize
}

// ParseUBoot reads a copy of a U-Boot environment: CRC-32 (little endian) of what follows it and the flag; the flag, if there are two copies;
// variables, each with a zero byte behind it; one more zero byte. What is behind that is not looked at. ErrInvalid if it is not whole.
func ParseUBoot(b []byte, redundant bool) (v Variables, flag byte, err error) {
	head := headSize(redundant)
	if len(b) < head+2 || len(b) > MaxEnvironment {
		return nil, 0, fmt.Errorf("%w: an environment of %d bytes", ErrInvalid, len(b))
	}
	data := b[head:]
	if got, want := crc32.ChecksumIEEE(data), binary.LittleEndian.Uint32(b); got != want {
		return nil, 0, fmt.Errorf("%w: the environment's checksum is %08x, and %08x is noted", ErrInvalid, got, want)
	}
	if redundant {
		flag = b[crcSize]
	}
	for len(data) > 0 && data[0] != 0 {
		end := bytes.IndexByte(data, 0)
		if end < 0 {
			return nil, 0, fmt.Errorf("%w: the environment has no end", ErrInvalid)
		}
		x, ok := cutVariable(string(data[:end]))
		if !ok {
			return nil, 0, fmt.Errorf("%w: %.40q in the environment is no variable", ErrInvalid, data[:end])
		}
		v = append(v, x)
		data = data[end+1:]
	}
	if len(data) == 0 {
		return nil, 0, fmt.Errorf("%w: the environment has no end", ErrInvalid)
	}
	return v, flag, nil
}

// EncodeUBoot writes a copy of size bytes, as ParseUBoot reads it.
func EncodeUBoot(v Variables, size int, redundant bool, flag byte) ([]byte, error) {
	head := headSize(redundant)
	if size < head+2 || size > MaxEnvironment {
		return nil, fmt.Errorf("slot: an environment of %d bytes", size)
	}
	b := make([]byte, head, size)
	for _, x := range v {
		if x.Name == "" || strings.ContainsAny(x.Name, "=\x00") || strings.Contains(x.Value, "\x00") {
			return nil, fmt.Errorf("%w: variable %.40q", ErrInvalid, x.Name)
		}
		b = append(append(append(append(b, x.Name...), '='), x.Value...), 0)
	}
	if len(b)+1 > size {
		return nil, fmt.Errorf("slot: the environment needs %d bytes and has %d", len(b)+1, size)
	}
	b = b[:size] // zeros to the end
	binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[head:]))
	if redundant {
		b[crcSize] = flag
	}
	return b, nil
}
