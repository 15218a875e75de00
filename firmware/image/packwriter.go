package image

import (
	"context"
	"fmt"
	"io"

	"github.com/hawser-iot/hawser/firmware/frame"
)

// Packed is what WritePack has made.
type Packed struct {
	Built
	Size   int64 // of the pack
	Unique int   // how many chunks the pack holds: a chunk that comes again is there once
}

// WritePack reads an image once and writes its full pack as it goes. It holds 2 MiB, the index and the offsets in memory.
func WritePack(ctx context.Context, w io.Writer, r io.Reader) (*Packed, error) {
	enc, err := frame.NewEncoder()
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, PackMagic); err != nil {
		return nil, fmt.Errorf("write the pack: %w", err)
	}
	p := &Packed{Size: int64(len(PackMagic))}
	var t trailerCBOR
	known := map[Digest][2]int64{}
	var buf []byte
	built, err := Build(ctx, r, func(c Chunk, b []byte) error {
		place, ok := known[c.Sum]
		if !ok {
			buf = enc.Append(buf[:0], b)
			if _, err := w.Write(buf); err != nil {
				return fmt.Errorf("write the pack: %w", err)
			}
			place = [2]int64{entryOffset: p.Size, entryLength: int64(len(buf))}
			known[c.Sum] = place
			p.Size += int64(len(buf))
		}
		t.Chunks = append(t.Chunks, place)
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.Built, p.Unique = *built, len(known)
	if t.Index, err = built.Index.Digest(); err != nil {
		return nil, err
	}
	trailer, err := t.marshal()
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(trailer); err != nil {
		return nil, fmt.Errorf("write the pack: %w", err)
	}
	p.Size += int64(len(trailer))
	return p, nil
}
