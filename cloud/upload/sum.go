package upload

import (
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"hash"

	"github.com/hawser-iot/hawser/cloud/blob"
)

// runningSum is the SHA-256 of a file that comes by the relay, over what has come, so that its bytes need not be read once more at the end. It goes
// over crashes as a text in the session's row, which is written when a part is stored.
//
// Whoever trusts it must know that the object is made of the very bytes that went through it: parts is a digest over the digests of the parts that
// were put, in order, to be compared with those that the object store has.
type runningSum struct {
	whole hash.Hash
	parts [sha256.Size]byte
}

func newSum() *runningSum { return &runningSum{whole: sha256.New()} }

// next is the digest over the parts with another one.
func next(parts, part [sha256.Size]byte) [sha256.Size]byte {
	return sha256.Sum256(append(parts[:], part[:]...))
}

// chain is the digest over the digests of parts.
func chain(list []blob.Part) (sum [sha256.Size]byte) {
	for _, p := range list {
		sum = next(sum, p.SHA256)
	}
	return sum
}

func (r *runningSum) String() string { return hex.EncodeToString(r.whole.Sum(nil)) }

// text is the state of r, for a row.
func (r *runningSum) text() string {
	state, err := r.whole.(encoding.BinaryAppender).AppendBinary(r.parts[:])
	if err != nil { // the standard library's never fails
		return ""
	}
	return base64.RawStdEncoding.EncodeToString(state)
}

// parseSum reads what text wrote; nil for anything else.
func parseSum(text string) *runningSum {
	b, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < sha256.Size {
		return nil
	}
	r := newSum()
	copy(r.parts[:], b)
	if r.whole.(encoding.BinaryUnmarshaler).UnmarshalBinary(b[sha256.Size:]) != nil {
		return nil
	}
	return r
}
