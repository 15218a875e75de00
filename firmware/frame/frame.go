// Package frame packs what chunks of firmware travel in, and reads what batches of records do: one zstd frame that says how long its content is.
//
// It promises that reading costs no more memory than the caller allows, whatever the bytes are: a frame that unpacks to
// another length than the caller expects is refused before it is unpacked. It checks no content; whoever unpacks a frame
// compares the result with a digest that he trusts.
package frame

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// MaxContent is the most that a frame may hold, Overhead by how much a frame may be longer than its content.
const (
	MaxContent = 1 << 20
	Overhead   = 1 << 10
)

// ErrMalformed says that bytes are no frame of the expected length.
var ErrMalformed = errors.New("firmware/frame: malformed zstd frame")

// Encoder makes frames. It is not safe for concurrent use.
type Encoder struct{ enc *zstd.Encoder }

// NewEncoder returns an Encoder that packs as tightly as it can: a frame is made once and sent to many.
func NewEncoder() (*Encoder, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithWindowSize(MaxContent), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithZeroFrames(true),
		zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &Encoder{enc}, nil
}

// Append appends a frame with content, which is no longer than MaxContent, to dst.
func (e *Encoder) Append(dst, content []byte) []byte { return e.enc.EncodeAll(content, dst) }

// Decoder reads frames. It is not safe for concurrent use.
type Decoder struct{ dec *zstd.Decoder }

// NewDecoder returns a Decoder, which holds some 100 KiB, of which it uses what frames need. (With lowmem its buffers would be made anew for each frame that is larger
// than those before, and many are at first.)
func NewDecoder() (*Decoder, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(false),
		zstd.WithDecoderMaxMemory(MaxContent), zstd.WithDecoderMaxWindow(MaxContent), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &Decoder{dec}, nil
}

// Decode unpacks frame into dst, whose length is that of the content. What dst holds after an error is undefined.
func (d *Decoder) Decode(dst, frame []byte) error {
	n, err := ContentSize(frame)
	if err != nil {
		return err
	}
	if n != len(dst) {
		return fmt.Errorf("%w: it holds %d bytes instead of %d", ErrMalformed, n, len(dst))
	}
	got, err := d.dec.DecodeAll(frame, dst[:0:len(dst)])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(got) != len(dst) {
		return fmt.Errorf("%w: it holds %d bytes instead of %d", ErrMalformed, len(got), len(dst))
	}
	return nil
}

// ContentSize is how much a frame says to hold, at most MaxContent.
func ContentSize(frame []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if h.Skippable || !h.HasFCS || h.DictionaryID != 0 {
		return 0, fmt.Errorf("%w: not a frame of a known length without a dictionary", ErrMalformed)
	}
	if h.FrameContentSize > MaxContent {
		return 0, fmt.Errorf("%w: it holds %d bytes, the most is %d", ErrMalformed, h.FrameContentSize, MaxContent)
	}
	return int(h.FrameContentSize), nil
}

// Bound is the longest frame that content of n bytes may have.
func Bound(n int) int { return n + n>>8 + Overhead }
