package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hawser-iot/hawser/firmware/imagetest"
)

// makeImage writes an image that does not compress, with a text put in.
func makeImage(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	b := imagetest.Stream(args[1], n)
	if len(args) > 3 {
		at, err := strconv.Atoi(args[3])
		ts.Check(err)
		b = slices.Concat(b[:at], []byte(args[4]), b[at:])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// serve serves the script's folder.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	s := httptest.NewServer(http.FileServer(http.Dir(ts.Getenv("WORK"))))
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL)
}
