package label

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/png"
	"io"
	"strings"
	"testing"

	"rsc.io/qr"
)

func three() []Label {
	return []Label{{"hawser:p/a", []string{"a", "p"}}, {"hawser:p/b<&>", []string{"b<&>", "p"}}, {"hawser:p/" + strings.Repeat("x", 64), []string{strings.Repeat("x", 32), strings.Repeat("x", 32), "p"}}}
}

func TestSVG(t *testing.T) {
	var b bytes.Buffer
	if err := (Sheet{2}).SVG(&b, three()); err != nil {
		t.Fatal(err)
	}
	groups, texts := 0, ""
	for d := xml.NewDecoder(&b); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if e.Name.Local == "g" {
				groups++
			}
		case xml.CharData:
			texts += strings.TrimSpace(string(e)) + " "
		}
	}
	if groups != 3 || !strings.Contains(texts, "b<&>") {
		t.Errorf("%d labels, texts %q", groups, texts)
	}
}

// TestPNG finds each module of the codes where it belongs.
func TestPNG(t *testing.T) {
	var b bytes.Buffer
	labels := three()
	if err := (Sheet{2}).PNG(&b, labels); err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Bounds() != image.Rect(0, 0, 2*width*pixels, 2*height*pixels) {
		t.Errorf("bounds %v", m.Bounds())
	}
	for n, l := range labels {
		code, err := qr.Encode(l.Code, qr.M)
		if err != nil {
			t.Fatal(err)
		}
		module := side * pixels / code.Size
		x, y := Sheet{2}.place(n)
		for row := range code.Size {
			for col := range code.Size {
				r, _, _, _ := m.At(x*pixels+2*pixels+col*module+module/2, y*pixels+2*pixels+row*module+module/2).RGBA()
				if (r < 0x8000) != code.Black(col, row) {
					t.Fatalf("label %d: module %d, %d is wrong", n, col, row)
				}
			}
		}
	}
	dark := 0
	for x := (side + 4) * pixels; x < width*pixels; x++ {
		for y := range height * pixels {
			if r, _, _, _ := m.At(x, y).RGBA(); r < 0x8000 {
				dark++
			}
		}
	}
	if dark == 0 {
		t.Error("no text beside the code")
	}
}

func TestLimits(t *testing.T) {
	one := three()[:1]
	for name, try := range map[string]func() error{
		"none":           func() error { return Sheet{3}.SVG(io.Discard, nil) },
		"no columns":     func() error { return Sheet{}.PNG(io.Discard, one) },
		"many columns":   func() error { return Sheet{11}.SVG(io.Discard, one) },
		"long line":      func() error { return Sheet{1}.SVG(io.Discard, []Label{{"x", []string{strings.Repeat("x", 41)}}}) },
		"many lines":     func() error { return Sheet{1}.SVG(io.Discard, []Label{{"x", make([]string, 4)}}) },
		"too large":      func() error { return Sheet{10}.PNG(io.Discard, make([]Label, 10000)) },
		"too large code": func() error { return Sheet{1}.SVG(io.Discard, []Label{{Code: strings.Repeat("x", 5000)}}) },
	} {
		if err := try(); err == nil {
			t.Errorf("%s is drawn", name)
		}
	}
}
