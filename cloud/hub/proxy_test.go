package hub

import (
	"strings"
	"testing"
)

func TestProxySettings(t *testing.T) {
	for _, c := range []struct{ networks, doors, want string }{
		{"", "", ""},
		{"10.0.0.0/8, fd00::/8", "mqtt,https", ""},
		{"10.0.0.1", "mqtt", "--proxy-protocol"},
		{"10.0.0.0/8", "smtp", "--proxy-doors"},
	} {
		_, _, err := Load("", func(string) (string, bool) { return "", false }, map[string]string{"proxy-protocol": c.networks, "proxy-doors": c.doors})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: %v, want %q", c.networks, c.doors, err, c.want)
		}
	}
}
