package modbus

import (
	"slices"
	"time"
)

// maxBits is how many coils or discrete inputs a request may ask for.
const maxBits = 2000

// block is one request: neighbours of one table that are read equally often.
type block struct {
	table  string
	addr   uint16
	count  int
	every  time.Duration
	points []*Point
	due    time.Time
}

// plan makes as few requests as may be for the points of a device: those of one table and one interval are put together when no more than
// MaxGap addresses that nobody wants are between them.
func plan(d *Device) []*block {
	points := make([]*Point, len(d.Points))
	for i := range d.Points {
		points[i] = &d.Points[i]
	}
	slices.SortStableFunc(points, func(a, b *Point) int {
		switch {
		case a.Table != b.Table:
			return compare(a.Table, b.Table)
		case a.Every != b.Every:
			return compare(a.Every, b.Every)
		}
		return compare(a.Address, b.Address)
	})
	var blocks []*block
	for _, p := range points {
		most := d.MaxBlock
		if p.bits() {
			most = maxBits
		}
		if n := len(blocks); n > 0 && blocks[n-1].take(p, *d.MaxGap, most) {
			continue
		}
		blocks = append(blocks, single(p))
	}
	return blocks
}

func compare[T string | Duration | uint16](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// single is the block of one point.
func single(p *Point) *block {
	return &block{table: p.Table, addr: p.Address, count: words[p.Type], every: time.Duration(p.Every), points: []*Point{p}}
}

// take adds a point that begins at or behind the block's beginning, if it may be in it.
func (b *block) take(p *Point, gap, most int) bool {
	end := int(b.addr) + b.count
	count := max(b.count, int(p.Address)+words[p.Type]-int(b.addr))
	if b.table != p.Table || b.every != time.Duration(p.Every) || int(p.Address) > end+gap || count > most {
		return false
	}
	b.count = count
	b.points = append(b.points, p)
	return true
}

// split is what becomes of a block that the device refuses as a whole: its points, each by itself.
func (b *block) split() []*block {
	var list []*block
	for _, p := range b.points {
		list = append(list, single(p))
	}
	return list
}

// of are the registers of a point in those of the block.
func (b *block) of(p *Point, regs []uint16) []uint16 {
	at := int(p.Address) - int(b.addr)
	return regs[at : at+words[p.Type]]
}
