package series

import (
	"fmt"
	"testing"
	"time"
)

// sealed adds what fill does to a history in dir, and opens it again: a clean stop seals its segment.
func sealed(t *testing.T, fill func(*Series)) *Series {
	t.Helper()
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) { fill(start(t, dir)) })
	return start(t, dir)
}

// TestTrim: devices of two products, one with a bound by age and one by number, and one without any.
func TestTrim(t *testing.T) {
	s := sealed(t, func(s *Series) {
		for i := range 5000 {
			for device := range int64(3) {
				add(s, device+1, fmt.Sprintf(`a=%d@%d b=%d@%d`, i, i, i, i))
			}
		}
		add(s, 2, `rare=1@7`) // the only one of its property stays, and takes nobody's place
		add(s, 2, `a=-1@3 rare=2@3`)
	})
	before := s.log.Stats().Bytes
	bounds := map[int64]Bound{1: {Since: noon.Add(4990 * time.Second)}, 2: {Most: 3}}
	removed, err := s.Trim(t.Context(), bounds)
	if want := 4990 + 4997 + 1; err != nil || removed != want {
		t.Errorf("removed %d, %v, want %d", removed, err, want)
	}
	if after := s.log.Stats().Bytes; after > before/2 {
		t.Errorf("%d bytes of %d are left of a third of the values", after, before)
	}
	for device, want := range map[int64]string{
		1: `a=4990@4990 a=4991@4991 a=4992@4992 a=4993@4993 a=4994@4994 a=4995@4995 a=4996@4996 a=4997@4997 a=4998@4998 a=4999@4999`,
		2: `rare=2@3 rare=1@7 a=4997@4997 a=4998@4998 a=4999@4999`,
	} {
		if got := ask(t, s, Query{Device: device, Identifiers: []string{"a", "rare"}, Limit: 50, Ascending: true}); got != want {
			t.Errorf("device %d\ngot  %s\nwant %s", device, got, want)
		}
	}
	if p, err := s.Points(t.Context(), Query{Device: 3, Identifiers: []string{"a", "b"}, Limit: 20_000}); err != nil || len(p.Points) != 10_000 {
		t.Errorf("without a bound: %d values, %v", len(p.Points), err)
	}
	if removed, err = s.Trim(t.Context(), bounds); err != nil || removed != 0 {
		t.Errorf("again: removed %d, %v", removed, err)
	}
	bounds[2] = Bound{Most: 2}
	if removed, err = s.Trim(t.Context(), bounds); err != nil || removed != 0 {
		t.Errorf("too little to write the segment anew for, on one day: removed %d, %v", removed, err)
	}
	bounds[3] = Bound{Since: noon.Add(time.Hour * 24)}
	if removed, err = s.Trim(t.Context(), bounds); err != nil || removed != 5001 {
		t.Errorf("with another device's: removed %d, %v", removed, err)
	}
}
