package buffer

import (
	"fmt"
	"strings"
	"testing"
)

// TestRestore: what the hub had and has lost is sent again as long as it is on the disk, also after a restart.
func TestRestore(t *testing.T) {
	cfg := config(t)
	cfg.AckedRetain = 1 << 40
	s, stop := open(t, cfg)
	var all []string
	for i := range 20 {
		all = append(all, fmt.Sprintf("p%d", i+1))
	}
	put(t, s, all...)
	s.RemoveSpan(1, 12)
	s.Remove(15)
	if got := fmt.Sprint(s.Settled(1, 20)); got != "[{1 12} {15 15}]" {
		t.Errorf("settled %s", got)
	}
	if got := s.Stats(); got.Records != 7 || got.Removed != 13 {
		t.Errorf("%+v", got)
	}
	if recs, err := s.Read(14, 100); err != nil || len(recs) != 5 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	found, err := s.Restore(10, 16)
	if err != nil || fmt.Sprint(found) != "[{10 12} {15 15}]" {
		t.Errorf("found %v, %v", found, err)
	}
	want := "p10 p11 p12 p13 p14 p15 p16 p17 p18 p19 p20"
	if got := strings.Join(payloads(t, s), " "); got != want {
		t.Errorf("after Restore %s", got)
	}
	if found, err := s.Restore(10, 16); err != nil || found != nil {
		t.Errorf("a second time %v, %v", found, err)
	}
	if got := s.Stats().Records; got != 11 {
		t.Errorf("%d records", got)
	}
	stop()
	s, _ = open(t, cfg)
	if got := strings.Join(payloads(t, s), " "); got != want {
		t.Errorf("after a restart %s", got)
	}
	s.RemoveSpan(1, 20)
	if got := s.Stats().Records; got != 0 {
		t.Errorf("%d records in the end", got)
	}
	if epoch, next := s.Place(); epoch == 0 || next != 21 {
		t.Errorf("place %d %d", epoch, next)
	}
}
