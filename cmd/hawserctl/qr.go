package main

import (
	"io"

	"github.com/mdp/qrterminal/v3"
)

// printQR prints a text as a QR code of half blocks, two of its squares a character, with the quiet zone that scanners want.
func printQR(w io.Writer, text string) error {
	checked := &firstError{w: w}
	qrterminal.GenerateWithConfig(text, qrterminal.Config{
		Level: qrterminal.L, Writer: checked, HalfBlocks: true, QuietZone: 2,
		BlackChar: qrterminal.BLACK_BLACK, WhiteChar: qrterminal.WHITE_WHITE,
		BlackWhiteChar: qrterminal.BLACK_WHITE, WhiteBlackChar: qrterminal.WHITE_BLACK,
	})
	return checked.err
}

// firstError is a writer whose first error is kept for who cannot be told of it.
type firstError struct {
	w   io.Writer
	err error
}

// Write is io.Writer's.
func (f *firstError) Write(b []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.w.Write(b)
	f.err = err
	return n, err
}
