package main

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// least is how narrow a column may become; ellipsis stands for what was cut off.
const (
	least    = 8
	gap      = "  "
	ellipsis = "…"
)

// width is how many characters a line of the terminal has; 0 when the output is none, where nothing is cut off.
func (c *cli) width() int {
	if c.columnsOf != nil {
		return c.columnsOf()
	}
	f, ok := c.out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// writeTable aligns the columns of rows. A table that is wider than width, if that is not 0, has its widest columns cut.
func writeTable(w io.Writer, rows [][]string, width int) error {
	widths := fit(columnWidths(rows), width)
	var b strings.Builder
	for _, row := range rows {
		for i, text := range row {
			n := utf8.RuneCountInString(text)
			if n > widths[i] {
				text, n = cut(text, widths[i]), widths[i]
			}
			b.WriteString(text)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-n) + gap)
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func columnWidths(rows [][]string) []int {
	var widths []int
	for _, row := range rows {
		for i, text := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	return widths
}

// fit takes from the widest columns until all fit; a terminal that is too narrow even for that is exceeded.
func fit(widths []int, width int) []int {
	total := len(gap) * (len(widths) - 1)
	for _, n := range widths {
		total += n
	}
	for width > 0 && total > width {
		widest := 0
		for i, n := range widths {
			if n >= widths[widest] { // of equals the last: names and numbers come first
				widest = i
			}
		}
		if widths[widest] <= least {
			break
		}
		widths[widest]--
		total--
	}
	return widths
}

// cut leaves the first n-1 characters and an ellipsis.
func cut(text string, n int) string {
	runes := []rune(text)
	return string(runes[:n-1]) + ellipsis
}
