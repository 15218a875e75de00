package store

import (
	"encoding/binary"
	"fmt"
)

// An outbox row's blob is
//
//	byte 0     version, 1
//	then       for each record: its length as an unsigned varint (encoding/binary), its bytes
//
// The records of a row are in the order in which their units were submitted.
const frameVersion = 1

// appendRecord appends rec to the blob dst; an empty dst becomes a blob first.
func appendRecord(dst, rec []byte) []byte {
	if len(dst) == 0 {
		dst = append(dst, frameVersion)
	}
	dst = binary.AppendUvarint(dst, uint64(len(rec)))
	return append(dst, rec...)
}

// recordsSize is room for records in a blob, at most a few bytes more than they take.
func recordsSize(records [][]byte) (n int) {
	for _, rec := range records {
		n += binary.MaxVarintLen32 + len(rec)
	}
	return n
}

// parseFrame returns the records of a blob; they share its memory.
func parseFrame(blob []byte) ([][]byte, error) {
	if len(blob) == 0 || blob[0] != frameVersion {
		return nil, fmt.Errorf("outbox row: unknown version")
	}
	var records [][]byte
	for rest := blob[1:]; len(rest) > 0; {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) {
			return nil, fmt.Errorf("outbox row: record %d is cut off", len(records))
		}
		end := size + int(n)
		records = append(records, rest[size:end:end])
		rest = rest[end:]
	}
	return records, nil
}
