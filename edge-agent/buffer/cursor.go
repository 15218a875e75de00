package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
)

const (
	cursorName   = "cursor"
	cursorMagic  = "CUR1"
	cursorFormat = 1 // 1 (2026-11): as docs/formats/segment.md draws it
	slotSize     = 4096
	cursorHeader = 44
	maxSpans     = 100 // those of higher numbers wait for the lower ones
	maxTouched   = 20
	flagTouched  = 1 // of a cursor: it says which numbers a reader has seen
)

// cursor is what a stream knows beside its segments.
type cursor struct {
	generation, epoch uint64
	next              uint64 // the number that is given next
	done              ranges // acknowledged or lost
	gaps              []Gap  // not reported yet
	touched           ranges // numbers that a reader may have seen
	knowsTouched      bool   // false: any
}

// encode returns a slot.
func (c *cursor) encode() []byte {
	b := append(make([]byte, 0, slotSize), cursorMagic...)
	b = binary.BigEndian.AppendUint16(b, cursorFormat)
	flags := uint16(0)
	if c.knowsTouched {
		flags = flagTouched
	}
	b = binary.BigEndian.AppendUint16(b, flags)
	for _, v := range []uint64{c.generation, c.epoch, c.next, uint64(len(c.touched))} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.done)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.gaps)))
	for _, s := range c.done {
		b = binary.BigEndian.AppendUint64(b, s.from)
		b = binary.BigEndian.AppendUint64(b, s.to)
	}
	for _, g := range c.gaps {
		for _, v := range []uint64{g.Epoch, g.From, g.To, uint64(g.Bytes)} {
			b = binary.BigEndian.AppendUint64(b, v)
		}
		b = append(b, byte(g.Reason))
	}
	for _, s := range c.touched {
		b = binary.BigEndian.AppendUint64(b, s.from)
		b = binary.BigEndian.AppendUint64(b, s.to)
	}
	b = b[:slotSize]
	binary.BigEndian.PutUint32(b[slotSize-4:], crc32.Checksum(b[:slotSize-4], castagnoli))
	return b
}

// parseCursor returns errDamaged or ErrNewerFormat for what it can't read.
func parseCursor(b []byte) (c cursor, err error) {
	if len(b) != slotSize || string(b[:4]) != cursorMagic ||
		binary.BigEndian.Uint32(b[slotSize-4:]) != crc32.Checksum(b[:slotSize-4], castagnoli) {
		return c, fmt.Errorf("%w: cursor", errDamaged)
	}
	if f := binary.BigEndian.Uint16(b[4:]); f > cursorFormat {
		return c, fmt.Errorf("%w: cursor format %d, this agent knows %d", ErrNewerFormat, f, cursorFormat)
	}
	u64 := binary.BigEndian.Uint64
	c.generation, c.epoch, c.next = u64(b[8:]), u64(b[16:]), u64(b[24:])
	c.knowsTouched = b[7]&flagTouched != 0
	touched, spans, gaps := u64(b[32:]), int(binary.BigEndian.Uint16(b[40:])), int(binary.BigEndian.Uint16(b[42:]))
	if spans > maxSpans || gaps > maxGaps || touched > maxTouched || c.next == 0 {
		return c, fmt.Errorf("%w: cursor of %d spans and %d gaps", errDamaged, spans, gaps)
	}
	b = b[cursorHeader:]
	for range spans {
		s := span{u64(b), u64(b[8:])}
		if s.from > s.to || len(c.done) > 0 && s.from <= c.done[len(c.done)-1].to {
			return c, fmt.Errorf("%w: cursor with spans out of order", errDamaged)
		}
		c.done, b = append(c.done, s), b[16:]
	}
	for range gaps {
		c.gaps = append(c.gaps, Gap{Epoch: u64(b), From: u64(b[8:]), To: u64(b[16:]), Bytes: int64(u64(b[24:])), Reason: Reason(b[32])})
		b = b[33:]
	}
	for range touched {
		c.touched.add(u64(b), u64(b[8:]))
		b = b[16:]
	}
	return c, nil
}

// readCursor returns the newer of the slots that are whole. absent: there is none.
func readCursor(d disk, name string) (c cursor, absent bool, err error) {
	b, err := d.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return c, true, nil
	}
	absent = true
	for at := 0; at+slotSize <= len(b); at += slotSize {
		slot, err := parseCursor(b[at : at+slotSize])
		switch {
		case errors.Is(err, ErrNewerFormat):
			return c, false, err
		case err == nil && (absent || slot.generation > c.generation):
			c, absent = slot, false
		}
	}
	return c, absent, nil
}

// createCursor makes the file with c in both slots, so that a crash never leaves half of one.
func createCursor(d disk, name string, c cursor) error {
	f, err := d.Create(name + ".tmp")
	if err != nil {
		return err
	}
	slot := c.encode()
	_, err = f.WriteAt(append(slot, slot...), 0)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return d.Rename(name+".tmp", name)
}

// persistLocked writes the cursor into the slot of the older generation.
func (s *Stream) persistLocked() error {
	if !s.dirty {
		return nil
	}
	c := cursor{generation: s.generation + 1, epoch: s.epoch, next: s.next, done: s.done[:min(len(s.done), maxSpans)], gaps: s.gaps}
	if s.ram.online && s.cfg.Durability == RAM {
		c.next += ramReserve
	}
	if c.knowsTouched = s.cfg.WhenFull == ThinOut; c.knowsTouched {
		c.touched = s.touchedLocked()
	}
	err := s.writeSlot(c)
	if err != nil {
		return fmt.Errorf("write the cursor: %w", err)
	}
	s.generation, s.dirty, s.acks, s.cursorAt = c.generation, false, 0, s.b.now()
	s.saved, s.savedNext = append(s.saved[:0], c.done...), c.next
	s.ram.reserved = c.next
	return nil
}

func (s *Stream) writeSlot(c cursor) error {
	if s.cursorFile == nil {
		f, err := s.b.disk.Open(s.path(cursorName))
		if err != nil {
			return err
		}
		s.cursorFile = f
	}
	_, err := s.cursorFile.WriteAt(c.encode(), int64(c.generation%2)*slotSize)
	if err == nil {
		err = s.cursorFile.Sync()
	}
	if err != nil {
		_ = s.cursorFile.Close()
		s.cursorFile = nil
	}
	return err
}
