package series

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/segment"
)

// Bound is what is kept of a device's values on each node; zero fields are no bound.
type Bound struct {
	Since time.Time // nothing from before
	Most  int       // so many of the newest values of each property, and those of the same time as the last of them
}

// maxCounted bounds the properties of devices that one Trim counts; what is beyond stays until a later one, or the whole log's bounds.
const maxCounted = 1 << 20

// property is one of a device.
type property struct {
	device     int64
	identifier string
}

// tally is how many values a property has, and the time of the last that is kept when there are enough.
type tally struct {
	n  int
	at time.Time
}

// Trim removes from this node's sealed segments what goes beyond the bounds of the devices that have some. It returns how many reports went
// or were shortened. One Trim at a time.
func (s *Series) Trim(ctx context.Context, bounds map[int64]Bound) (int, error) {
	if len(bounds) == 0 {
		return 0, nil
	}
	counted, err := s.count(ctx, bounds)
	if err != nil {
		return 0, err
	}
	var values []value
	changed, err := s.log.Sift(ctx, func(r segment.Record) []byte {
		b, ok := bounds[deviceOf(r)]
		switch {
		case !ok:
			return r.Data
		case r.Time.Before(b.Since):
			return nil
		case b.Most == 0:
			return r.Data
		}
		var data []byte
		data, values = counted.shorten(r, values)
		return data
	})
	if err != nil {
		return changed, fmt.Errorf("series: %w", err)
	}
	return changed, nil
}

func deviceOf(r segment.Record) int64 {
	if len(r.Keys) == 0 {
		return 0
	}
	return int64(r.Keys[0])
}

// tallies are of the properties with a bound of their number.
type tallies map[property]*tally

// count finds where the bound of each property lies.
func (s *Series) count(ctx context.Context, bounds map[int64]Bound) (tallies, error) {
	all := tallies{}
	any := false
	for _, b := range bounds {
		any = any || b.Most > 0
	}
	if !any {
		return all, nil
	}
	var values []value
	err := s.log.Scan(ctx, segment.Query{Backward: true}, func(r segment.Record) bool {
		device := deviceOf(r)
		b := bounds[device]
		if b.Most == 0 {
			return ctx.Err() == nil
		}
		values, _, _ = each(r.Data, values, func(v value) bool { // a damaged record has no values, and is kept
			t := all[property{device, string(v.identifier)}]
			if t == nil && len(all) < maxCounted {
				t = &tally{}
				all[property{device, string(v.identifier)}] = t
			}
			if t != nil {
				if t.n++; t.n == b.Most {
					t.at = r.Time
				}
			}
			return true
		}, true)
		return ctx.Err() == nil
	})
	if damage := (*segment.CorruptionError)(nil); err != nil && !errors.As(err, &damage) {
		return nil, fmt.Errorf("series: %w", err)
	}
	return all, ctx.Err()
}

// shorten is what stays of a record: its data as they are, less of them, or nil. values is memory.
func (all tallies) shorten(r segment.Record, values []value) ([]byte, []value) {
	values, _, err := each(r.Data, values, func(value) bool { return true }, false)
	if err != nil {
		return r.Data, values
	}
	n := 0
	for _, v := range values {
		if t := all[property{deviceOf(r), string(v.identifier)}]; t == nil || !r.Time.Before(t.at) {
			values[n] = v
			n++
		}
	}
	switch n {
	case len(values):
		return r.Data, values
	case 0:
		return nil, values
	}
	data := binary.AppendUvarint([]byte{version}, uint64(n))
	for _, v := range values[:n] {
		data = binary.AppendUvarint(data, uint64(len(v.identifier)))
		data = append(data, v.identifier...)
		data = binary.AppendUvarint(data, uint64(len(v.json)))
		data = append(data, v.json...)
	}
	return data, values
}
