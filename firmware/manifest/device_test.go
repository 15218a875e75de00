package manifest_test

import (
	"cmp"
	"errors"
	"testing"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// device is one that full is for.
func device() manifest.Device {
	return manifest.Device{ID: "70ly1tvowt696r15.cellar-1", Modules: map[string]manifest.Module{
		"default": {Vendor: vendor, Class: thermo, Version: "1.4", Sequence: 3},
		"radio":   {Vendor: vendor, Class: radio},
		"boot":    {Vendor: vendor, Class: thermo, Version: "whatever", Sequence: 2},
		"sensor":  {Vendor: vendor, Class: thermo, Version: "3.0-rc1", Sequence: 1},
	}}
}

func TestAttackWrongDeviceOrClass(t *testing.T) {
	other := manifest.VendorID("example.org")
	tests := []struct {
		name   string
		module string
		have   *manifest.Module
		want   failure.Class
	}{
		{"as it is", "radio", &manifest.Module{Vendor: vendor, Class: radio}, failure.Unclassified},
		{"another vendor", "default", &manifest.Module{Vendor: other, Class: thermo, Version: "1.4", Sequence: 3}, failure.WrongDevice},
		{"another class", "default", &manifest.Module{Vendor: vendor, Class: radio, Version: "1.4", Sequence: 3}, failure.WrongDevice},
		{"another class of the second image", "radio", &manifest.Module{Vendor: vendor, Class: thermo}, failure.WrongDevice},
		{"without the module", "radio", nil, failure.WrongDevice},
		{"too old a version", "default", &manifest.Module{Vendor: vendor, Class: thermo, Version: "1.3.9", Sequence: 3}, failure.Dependency},
		{"a version without order", "default", &manifest.Module{Vendor: vendor, Class: thermo, Version: "r12", Sequence: 3}, failure.Dependency},
		{"never updated", "default", &manifest.Module{Vendor: vendor, Class: thermo}, failure.Dependency},
		{"too low a sequence", "default", &manifest.Module{Vendor: vendor, Class: thermo, Version: "1.4", Sequence: 2}, failure.Dependency},
		{"another module too low", "boot", &manifest.Module{Vendor: vendor, Class: thermo, Sequence: 1}, failure.Dependency},
		{"another module too new", "sensor", &manifest.Module{Vendor: vendor, Class: thermo, Version: "3.0"}, failure.Dependency},
		{"another module not there", "boot", nil, failure.Dependency},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := device()
			delete(d.Modules, tt.module)
			if tt.have != nil {
				d.Modules[tt.module] = *tt.have
			}
			if err := full().For(d); failure.Of(err) != tt.want || (err == nil) != (tt.want == failure.Unclassified) {
				t.Errorf("got %v (%q), want %q", err, failure.Of(err), tt.want)
			}
		})
	}
}

func TestAttackPartialBundle(t *testing.T) {
	whole := map[string]manifest.Payload{"default": payload("an image"), "radio": payload("another image")}
	tests := []struct {
		name   string
		images map[string]manifest.Payload
		want   failure.Class
	}{
		{"whole", whole, failure.Unclassified},
		{"none", nil, failure.Dependency},
		{"one", map[string]manifest.Payload{"default": payload("an image")}, failure.Dependency},
		{"swapped", map[string]manifest.Payload{"default": payload("another image"), "radio": payload("an image")}, failure.Hash},
		{"one of another release", map[string]manifest.Payload{"default": payload("an image"), "radio": payload("an old image")}, failure.Hash},
		{"longer than it was", map[string]manifest.Payload{"default": {Digest: payload("an image").Digest, Size: 9}, "radio": payload("another image")}, failure.Hash},
		{"one too many", map[string]manifest.Payload{"default": payload("an image"), "radio": payload("another image"), "boot": payload("evil")}, failure.Hash},
	}
	for _, tt := range tests {
		if err := full().Complete(tt.images); failure.Of(err) != tt.want || (err == nil) != (tt.want == failure.Unclassified) {
			t.Errorf("%s: got %v (%q), want %q", tt.name, err, failure.Of(err), tt.want)
		}
	}
}

func TestVersions(t *testing.T) {
	inOrder := []string{"0.9", "1-alpha", "1.0-alpha2", "1.0-alpha.10", "1-beta", "1.0.0-rc1", "1.0-rc2", "1", "1.0.1", "1.2", "1.10", "v2.0-rc1", "v2"}
	for i, a := range inOrder {
		for j, b := range inOrder {
			v, err := manifest.ParseVersion(a)
			if err != nil {
				t.Fatal(err)
			}
			w, err := manifest.ParseVersion(b)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := v.Compare(w), cmp.Compare(i, j); got != want {
				t.Errorf("%s to %s: %d, want %d", a, b, got, want)
			}
		}
	}
	for _, text := range []string{"", "r9", "1..2", "1.0-", "1.0-final", "1.0-rcx", "-1", "1.99999999999", "1.0+2"} {
		if v, err := manifest.ParseVersion(text); !errors.Is(err, manifest.ErrIncomparable) {
			t.Errorf("%q: %v, %v", text, v, err)
		}
	}
}

func TestRules(t *testing.T) {
	for _, text := range []string{">=1.4", "<2", "=1.0-rc1", ">1.0-beta2,#7", "#1", "<=3.2.1"} {
		r, err := manifest.ParseRule(text)
		if err != nil || r.String() != text {
			t.Errorf("%q: %q, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "1.4", "~1", ">=", "#0", "#-1", "#x", "#1,#2", ">1,<2", "=>1", ">=r9"} {
		if r, err := manifest.ParseRule(text); err == nil {
			t.Errorf("%q is %v", text, r)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add(">=1.4-rc2,#7")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := manifest.ParseRule(text)
		if err != nil {
			return
		}
		again, err := manifest.ParseRule(r.String())
		if err != nil || again.String() != r.String() {
			t.Errorf("%q is %q, and that %q (%v)", text, r, again, err)
		}
	})
}

func TestUUIDs(t *testing.T) {
	u, err := manifest.ParseUUID("FA6B4A53-d5ad-5fdf-be9d-e663e4d41ffe")
	if err != nil || u != manifest.VendorID("ARM.com") {
		t.Errorf("%v, %v", u, err)
	}
	for _, text := range []string{"", "fa6b4a53", "fa6b4a53d5ad5fdfbe9de663e4d41ffe", "fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffg"} {
		if _, err := manifest.ParseUUID(text); err == nil {
			t.Errorf("%q is a UUID", text)
		}
	}
}
