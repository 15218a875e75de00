// Package label draws sheets of labels for devices: a QR code each, and beside it what people read.
package label

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
	"rsc.io/qr"
)

// Label is one.
type Label struct {
	Code  string   // what the QR code says
	Lines []string // at most three, of 40 characters
}

// Sheet is how labels are laid out: so many in a row, each 70 × 30 mm.
type Sheet struct{ Columns int }

// Size of a label in millimetres, of the code in it, and pixels a millimetre of a PNG (about 300 dpi).
const (
	width, height = 70, 30
	side          = 26
	pixels        = 12
	maxLines      = 3
	maxText       = 40
)

// ErrSheet is returned for labels that cannot be drawn.
var ErrSheet = errors.New("label: between 1 and 10000 labels with at most three lines of 40 characters, in 1 to 10 columns")

func (s Sheet) check(labels []Label) error {
	if s.Columns < 1 || s.Columns > 10 || len(labels) == 0 || len(labels) > 10000 {
		return ErrSheet
	}
	for _, l := range labels {
		if len(l.Lines) > maxLines {
			return ErrSheet
		}
		for _, text := range l.Lines {
			if len(text) > maxText {
				return fmt.Errorf("%w: %q", ErrSheet, text)
			}
		}
	}
	return nil
}

// place is where a label begins, in millimetres.
func (s Sheet) place(n int) (x, y int) { return n % s.Columns * width, n / s.Columns * height }

func (s Sheet) size(n int) (w, h int) {
	return min(n, s.Columns) * width, (n + s.Columns - 1) / s.Columns * height
}

// SVG writes the sheet for a printer: sizes are in millimetres.
func (s Sheet) SVG(w io.Writer, labels []Label) error {
	if err := s.check(labels); err != nil {
		return err
	}
	var b bytes.Buffer
	wide, high := s.size(len(labels))
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%dmm" height="%dmm" viewBox="0 0 %[1]d %[2]d" font-family="monospace" font-size="2.6">`+"\n", wide, high)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", wide, high)
	for n, l := range labels {
		code, err := qr.Encode(l.Code, qr.M)
		if err != nil {
			return fmt.Errorf("label %q: %w", l.Code, err)
		}
		x, y := s.place(n)
		fmt.Fprintf(&b, `<g transform="translate(%d %d)"><path transform="translate(2 2) scale(%.4f)" shape-rendering="crispEdges" d="`, x, y, float64(side)/float64(code.Size))
		for row := range code.Size {
			for col := range code.Size {
				if code.Black(col, row) {
					fmt.Fprintf(&b, "M%d %dh1v1h-1z", col, row)
				}
			}
		}
		b.WriteString(`"/>`)
		for i, text := range l.Lines {
			fmt.Fprintf(&b, `<text x="%d" y="%d" textLength="%.1f" lengthAdjust="spacingAndGlyphs">`, side+4, 9+6*i, min(float64(len(text))*1.56, width-side-6))
			if err := xml.EscapeText(&b, []byte(text)); err != nil {
				return err
			}
			b.WriteString("</text>")
		}
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

// PNG writes the sheet with about 300 pixels an inch.
func (s Sheet) PNG(w io.Writer, labels []Label) error {
	if err := s.check(labels); err != nil {
		return err
	}
	wide, high := s.size(len(labels))
	if wide*high*pixels*pixels > 1<<28 {
		return fmt.Errorf("%w: too large for a PNG, use SVG", ErrSheet)
	}
	m := image.NewGray(image.Rect(0, 0, wide*pixels, high*pixels))
	draw.Draw(m, m.Bounds(), image.White, image.Point{}, draw.Src)
	for n, l := range labels {
		code, err := qr.Encode(l.Code, qr.M)
		if err != nil {
			return fmt.Errorf("label %q: %w", l.Code, err)
		}
		x, y := s.place(n)
		x, y = x*pixels, y*pixels
		module := side * pixels / code.Size
		for row := range code.Size {
			for col := range code.Size {
				if code.Black(col, row) {
					at := image.Rect(col*module, row*module, (col+1)*module, (row+1)*module).Add(image.Pt(x+2*pixels, y+2*pixels))
					draw.Draw(m, at, image.Black, image.Point{}, draw.Src)
				}
			}
		}
		for i, text := range l.Lines {
			write(m, x+(side+4)*pixels, y+(6+6*i)*pixels, text)
		}
	}
	return png.Encode(w, m)
}

// write draws a text of at most 40 characters into the room beside the code.
func write(m *image.Gray, x, y int, text string) {
	face := basicfont.Face7x13
	small := image.NewGray(image.Rect(0, 0, max(len(text)*face.Advance, 1), face.Height))
	draw.Draw(small, small.Bounds(), image.White, image.Point{}, draw.Src)
	d := font.Drawer{Dst: small, Src: image.NewUniform(color.Black), Face: face, Dot: fixed.P(0, face.Ascent)}
	d.DrawString(text)
	room := (width - side - 6) * pixels
	wide := min(small.Bounds().Dx()*3, room)
	draw.BiLinear.Scale(m, image.Rect(x, y, x+wide, y+face.Height*wide/small.Bounds().Dx()), small, small.Bounds(), draw.Src, nil)
}

// Expand puts the product and the device into a text: {product} and {device}.
func Expand(text, product, device string) string {
	return strings.NewReplacer("{product}", product, "{device}", device).Replace(text)
}
