package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestPlotLine(t *testing.T) {
	from := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	points := func(values ...float64) []plotted {
		var list []plotted
		for i, v := range values {
			list = append(list, plotted{from.Add(time.Duration(i) * time.Minute), v})
		}
		return list
	}
	tests := []struct {
		name    string
		points  []plotted
		minutes int
		columns int
		want    string
	}{
		{"rising", points(0, 1, 2, 3, 4, 5, 6, 7), 7, 8, "t  0 … 7, 8 values, last 7\n▁▂▃▄▅▆▇█"},
		{"two in a column", points(0, 2, 10, 10), 3, 2, "t  0 … 10, 4 values, last 10\n▁█"},
		{"one", points(21.5), 0, 4, "t  21.5 … 21.5, 1 values, last 21.5\n▅   "},
		{"a gap", points(1, 2), 9, 10, "t  1 … 2, 2 values, last 2\n▁█        "},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		if err := plotLine(&b, "t", tt.points, from, from.Add(time.Duration(tt.minutes)*time.Minute), tt.columns); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(b.String(), "\n"); got != tt.want {
			t.Errorf("%s:\n%q, want\n%q", tt.name, got, tt.want)
		}
	}
	var b bytes.Buffer
	if err := plotAxis(&b, from, from.Add(time.Hour), 50); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "2026-11-27 12:00:00            2026-11-27 13:00:00\n"; got != want {
		t.Errorf("axis %q, want %q", got, want)
	}
}
