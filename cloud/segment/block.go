package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Bounds of a block, so that a damaged length asks for no memory that nobody wrote.
const (
	maxRaw    = 8 << 20
	maxStored = maxRaw + 1<<16 // zstd never grows by more
)

const (
	blockMagic  = "HBLK"
	blockHeader = 44
)

// header is what a block says of itself, on disk in front of it and again in the segment's index.
type header struct {
	stored, raw, count uint32
	min, max           int64 // times of the records, µs
	filter             uint32
	crc                uint32 // of the stored bytes
}

// append writes the header and the filter; the last 4 bytes of the header are their checksum.
func (h *header) append(b []byte, f filter) []byte {
	start := len(b)
	b = append(b, blockMagic...)
	b = binary.LittleEndian.AppendUint32(b, h.stored)
	b = binary.LittleEndian.AppendUint32(b, h.raw)
	b = binary.LittleEndian.AppendUint32(b, h.count)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.min))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.max))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
	b = binary.LittleEndian.AppendUint32(b, h.crc)
	sum := crc32.Update(crc32.Checksum(b[start:], castagnoli), castagnoli, f)
	b = binary.LittleEndian.AppendUint32(b, sum)
	return append(b, f...)
}

// size is how many bytes the block has on disk.
func (h *header) size() int64 { return blockHeader + int64(h.filter) + int64(h.stored) }

// parseHeader reads the fixed part of a header; checkHeader says whether it and its filter are whole.
func parseHeader(b []byte) (h header, err error) {
	if len(b) < blockHeader {
		return h, errTorn
	}
	if string(b[:4]) != blockMagic {
		return h, errHeader
	}
	le := binary.LittleEndian
	h = header{stored: le.Uint32(b[4:]), raw: le.Uint32(b[8:]), count: le.Uint32(b[12:]), min: int64(le.Uint64(b[16:])),
		max: int64(le.Uint64(b[24:])), filter: le.Uint32(b[32:]), crc: le.Uint32(b[36:])}
	if h.stored > maxStored || h.raw > maxRaw || h.count > h.raw || h.filter > maxFilter || h.min > h.max {
		return h, errLength
	}
	return h, nil
}

func checkHeader(fixed []byte, f filter) error {
	sum := crc32.Update(crc32.Checksum(fixed[:blockHeader-4], castagnoli), castagnoli, f)
	if sum != binary.LittleEndian.Uint32(fixed[blockHeader-4:]) {
		return errChecksum
	}
	return nil
}

// codec packs and unpacks blocks. Unpacking is safe for concurrent use, packing is the writer's.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(256<<10), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &codec{enc: enc, dec: dec}, nil
}

// pack appends the block of b to out.
func (c *codec) pack(out []byte, b *builder) ([]byte, header) {
	b.filter = newFilter(b.filter, b.keys)
	h := header{raw: uint32(len(b.raw)), count: b.count, min: b.min, max: b.max, filter: uint32(len(b.filter))}
	b.packed = c.enc.EncodeAll(b.raw, b.packed[:0])
	h.stored, h.crc = uint32(len(b.packed)), crc32.Checksum(b.packed, castagnoli)
	return append(h.append(out, b.filter), b.packed...), h
}

// unpack checks and decompresses the stored bytes of a block.
func (c *codec) unpack(h *header, stored []byte) ([]byte, error) {
	if uint32(len(stored)) != h.stored {
		return nil, errLength
	}
	if crc32.Checksum(stored, castagnoli) != h.crc {
		return nil, errChecksum
	}
	raw, err := c.dec.DecodeAll(stored, make([]byte, 0, h.raw))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errContent, err)
	}
	if uint32(len(raw)) != h.raw {
		return nil, errLength
	}
	return raw, nil
}
