package nearest

import "testing"

func TestWord(t *testing.T) {
	words := []string{"items", "path", "mode", "deviceSN"}
	for name, want := range map[string]string{
		"item": "items", "tiems": "items", "pth": "path", "devicSN": "deviceSN", "items": "", "x": "", "": "", "topics": "", "deviceSNdeviceSN": "",
	} {
		if got := Word(name, words); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
