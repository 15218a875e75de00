package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// bars are the heights of a sparkline.
var bars = []rune("▁▂▃▄▅▆▇█")

// plotted is one value of a line.
type plotted struct {
	at    time.Time
	value float64
}

// plotLine draws the values of one property, the oldest first, in columns of equal time: the mean of each, a blank where there
// is none.
func plotLine(w io.Writer, name string, points []plotted, from, to time.Time, columns int) error {
	sums, counts := make([]float64, columns), make([]int, columns)
	least, most := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		i := 0
		if span := to.Sub(from); span > 0 {
			i = min(int(float64(columns)*float64(p.at.Sub(from))/float64(span)), columns-1)
		}
		sums[i] += p.value
		counts[i]++
		least, most = min(least, p.value), max(most, p.value)
	}
	var line strings.Builder
	for i, n := range counts {
		if n == 0 {
			line.WriteByte(' ')
			continue
		}
		height := len(bars) / 2
		if most > least {
			height = int((sums[i]/float64(n) - least) / (most - least) * float64(len(bars)-1))
		}
		line.WriteRune(bars[height])
	}
	_, err := fmt.Fprintf(w, "%s  %s … %s, %d values, last %s\n%s\n", name, short(least), short(most), len(points), short(points[len(points)-1].value), line.String())
	return err
}

func short(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// plotAxis writes the two ends of the time below the lines.
func plotAxis(w io.Writer, from, to time.Time, columns int) error {
	left, right := from.UTC().Format("2006-01-02 15:04:05"), to.UTC().Format("2006-01-02 15:04:05")
	gap := max(columns-utf8.RuneCountInString(left)-utf8.RuneCountInString(right), 2)
	_, err := fmt.Fprintf(w, "%s%s%s\n", left, strings.Repeat(" ", gap), right)
	return err
}
