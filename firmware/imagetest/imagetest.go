// Package imagetest makes images for tests, and a disk that fails on demand.
//
// Its images are described in a few words, so that vectors in firmware/testdata need not hold them and every language can make them:
// see the README there.
package imagetest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Recipe describes an image: Len bytes of the stream of Seed, zeros from Zeros[0] for Zeros[1] bytes, then the edits in their order.
type Recipe struct {
	Seed  string `json:"seed"`
	Len   int    `json:"len"`
	Zeros [2]int `json:"zeros,omitzero"`
	Edits []Edit `json:"edits,omitempty"`
}

// Edit replaces Cut bytes at At by those of Hex.
type Edit struct {
	At  int    `json:"at"`
	Cut int    `json:"cut"`
	Hex string `json:"hex"`
}

// Bytes makes the image.
func (r Recipe) Bytes() []byte {
	b := Stream(r.Seed, r.Len)
	clear(b[r.Zeros[0] : r.Zeros[0]+r.Zeros[1]])
	for _, e := range r.Edits {
		with, err := hex.DecodeString(e.Hex)
		if err != nil {
			panic(err) // a test's own mistake
		}
		b = append(append(append([]byte{}, b[:e.At]...), with...), b[e.At+e.Cut:]...)
	}
	return b
}

// Stream is n bytes that do not compress: SHA-256(seed | 0), SHA-256(seed | 1) and so on, the counter in 4 bytes, big endian.
func Stream(seed string, n int) []byte {
	b := make([]byte, 0, n+sha256.Size)
	for i := uint32(0); len(b) < n; i++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte(seed), i))
		b = append(b, sum[:]...)
	}
	return b[:n]
}
