package ident_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/ident"
)

const product = "70ly1tvowt696r15"

func TestCheckProductSN(t *testing.T) {
	for s, want := range map[string]bool{
		product: true, "abcdefghijklmnop": true, "": false, product[1:]: false, product + "x": false,
		"70LY1TVOWT696R15": false, "70ly1tvowt696r1-": false, "70ly1tvowt696r1\xff": false,
	} {
		if err := ident.CheckProductSN(s); (err == nil) != want {
			t.Errorf("CheckProductSN(%q) = %v, want valid %v", s, err, want)
		}
	}
}

func TestCheckDeviceSN(t *testing.T) {
	for s, want := range map[string]bool{
		"dev1": true, "AZaz09_@:-": true, "00:14:32:e1:72:f1": true, strings.Repeat("d", 64): true,
		"": false, "dev": false, strings.Repeat("d", 65): false, "dev.1": false, "dev/1": false, "dev+1": false, "dev#1": false,
		"dev 1": false, "dév1": false, "dev\x001": false, "$broadcast": false,
	} {
		if err := ident.CheckDeviceSN(s); (err == nil) != want {
			t.Errorf("CheckDeviceSN(%q) = %v, want valid %v", s, err, want)
		}
	}
}

func TestClientID(t *testing.T) {
	d := ident.Device{Product: product, SN: "dev-01:a"}
	if got, want := d.ClientID(), product+".dev-01:a"; got != want {
		t.Errorf("ClientID = %q, want %q", got, want)
	}
	if got, want := d.String(), product+"/dev-01:a"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
	got, err := ident.ParseClientID(d.ClientID())
	if err != nil || got != d {
		t.Errorf("ParseClientID = %v, %v, want %v", got, err, d)
	}
	for s, field := range map[string]ident.Field{
		"": ident.FieldClientID, product: ident.FieldClientID, "x.dev1": ident.FieldProductSN, product + ".": ident.FieldDeviceSN,
		product + ".dev.1": ident.FieldDeviceSN,
	} {
		var e *ident.Error
		if _, err := ident.ParseClientID(s); !errors.As(err, &e) || e.Field != field {
			t.Errorf("ParseClientID(%q) = %v, want an Error of %s", s, err, field)
		}
	}
}

func TestGenerated(t *testing.T) {
	seen := make(map[string]bool)
	var letters [256]int
	for range 2000 {
		s := ident.NewProductSN()
		if err := ident.CheckProductSN(s); err != nil || seen[s] {
			t.Fatalf("NewProductSN = %q: %v, seen before: %v", s, err, seen[s])
		}
		if err := ident.CheckDeviceSN(ident.NewDeviceSN()); err != nil {
			t.Fatal(err)
		}
		seen[s] = true
		for i := range len(s) {
			letters[s[i]]++
		}
	}
	// 32,000 letters over 36: each about 889 times; a fifth off would be more than six standard deviations.
	for _, c := range "abcdefghijklmnopqrstuvwxyz0123456789" {
		if n := letters[c]; n < 700 || n > 1080 {
			t.Errorf("%c came %d times of 32000", c, n)
		}
	}
}

func FuzzParseClientID(f *testing.F) {
	f.Add(product + ".dev1")
	f.Add("..")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ident.ParseClientID(s)
		if err == nil && (d.ClientID() != s || d.Check() != nil) {
			t.Errorf("ParseClientID(%q) = %v", s, d)
		}
	})
}
