package shadowsync

import (
	"fmt"
	"strings"
	"testing"
)

// side reads "r:a=1@5,b=2 d:a=3": values with times, 1 by default.
func side(text string) Side {
	s := Side{map[string]Value{}, map[string]Value{}}
	for _, part := range strings.Fields(text) {
		m := s.Reported
		if part[0] == 'd' {
			m = s.Desired
		}
		for _, kv := range strings.Split(part[2:], ",") {
			k, v, _ := strings.Cut(kv, "=")
			v, at, timed := strings.Cut(v, "@")
			val := Value{v, 1}
			if timed {
				fmt.Sscan(at, &val.At)
			}
			m[k] = val
		}
	}
	return s
}

func show(c changes) string {
	var out []string
	for _, p := range []struct {
		name string
		m    map[string]*Value
	}{{"r", c.reported}, {"d", c.desired}} {
		for _, k := range []string{"a", "b"} {
			if v, ok := p.m[k]; ok && v == nil {
				out = append(out, p.name+":"+k+"=null")
			} else if ok {
				out = append(out, p.name+":"+k+"="+v.JSON)
			}
		}
	}
	return strings.Join(out, " ")
}

func TestMerge(t *testing.T) {
	for _, tt := range []struct {
		name, base, local, cloud string
		policy                   Policy
		down, up                 string
	}{
		{"nothing", "r:a=1 d:b=2", "r:a=1 d:b=2", "r:a=1 d:b=2", "", "", ""},
		{"reported here", "r:a=1", "r:a=2", "r:a=1", CloudWins, "", "r:a=2"},
		{"deleted here", "r:a=1", "", "r:a=1", "", "", "r:a=null"},
		{"reported there", "r:a=1", "r:a=1", "r:a=2", DeviceWins, "r:a=2", ""},
		{"deleted there", "r:a=1", "r:a=1", "", "", "r:a=null", ""},
		{"both the same", "r:a=1", "r:a=2", "r:a=2", "", "", ""},
		{"both, cloud", "r:a=1", "r:a=2", "r:a=3", CloudWins, "r:a=3", ""},
		{"both, device", "r:a=1", "r:a=2", "r:a=3", DeviceWins, "", "r:a=2"},
		{"both, newest here", "r:a=1", "r:a=2@9", "r:a=3@8", Newest, "", "r:a=2"},
		{"both, newest there", "r:a=1", "r:a=2@9", "r:a=3@9", Newest, "r:a=3", ""},
		{"both, deleted here", "r:a=1", "", "r:a=3@8", Newest, "r:a=3", ""},

		{"desired there", "r:a=1", "r:a=1", "r:a=1 d:a=2", DeviceWins, "d:a=2", ""},
		{"another desired there", "d:a=1", "d:a=1", "d:a=2", DeviceWins, "d:a=2", ""},
		{"withdrawn there", "d:a=1", "d:a=1", "", "", "d:a=null", ""},
		{"applied here", "r:a=0 d:a=1", "r:a=1", "r:a=0 d:a=1", "", "", "r:a=1 d:a=null"},
		{"cleared here, reported as before", "r:a=1 d:a=1", "r:a=1", "r:a=1 d:a=1", "", "", "r:a=1 d:a=null"},
		{"desired here only", "", "d:a=1", "", "", "", ""},
		{"desired here, withdrawn there", "d:a=1", "d:a=2", "", "", "", ""},
		{"device moved, cloud desires, cloud wins", "r:a=1", "r:a=2", "r:a=1 d:a=3", CloudWins, "d:a=3", "r:a=2"},
		{"device moved, cloud desires, device wins", "r:a=1", "r:a=2", "r:a=1 d:a=3", DeviceWins, "", "r:a=2 d:a=null"},
		{"device moved, cloud desires, device newer", "r:a=1", "r:a=2@9", "r:a=1 d:a=3@8", Newest, "", "r:a=2 d:a=null"},
		{"device moved, cloud desires, cloud newer", "r:a=1", "r:a=2@7", "r:a=1 d:a=3@8", Newest, "d:a=3", "r:a=2"},
		{"applied here, another desired there", "d:a=1", "r:a=1", "d:a=2", CloudWins, "d:a=2", "r:a=1"},
		{"desired on both, device wins", "", "d:a=1", "d:a=2", DeviceWins, "", "d:a=null"},
		{"desired on both, cloud wins", "", "d:a=1", "d:a=2", CloudWins, "d:a=2", ""},
		{"desired on both, newest", "", "d:a=1@5", "d:a=2@4", Newest, "", "d:a=null"},
		{"keys apart", "r:a=1,b=1", "r:a=2,b=1", "r:a=1,b=2", "", "r:b=2", "r:a=2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Conflicts: map[string]Policy{"*": tt.policy}}
			down, up := merge(side(tt.base), side(tt.local), side(tt.cloud), cfg.decide)
			if show(down) != tt.down || show(up) != tt.up {
				t.Errorf("down %q up %q, want %q and %q", show(down), show(up), tt.down, tt.up)
			}
		})
	}
}

func TestCustomPolicy(t *testing.T) {
	var seen []string
	cfg := Config{Conflicts: map[string]Policy{"b": DeviceWins}, Custom: func(c Conflict) Policy {
		seen = append(seen, fmt.Sprint(c.Key, c.Base.JSON, c.Device.JSON, c.Cloud.JSON, c.Desired))
		return DeviceWins
	}}
	_, up := merge(side("r:a=1,b=1"), side("r:a=2,b=2"), side("r:a=3,b=3"), cfg.decide)
	if show(up) != "r:a=2 r:b=2" || fmt.Sprint(seen) != "[a1 2 3 false]" && fmt.Sprint(seen) != "[a123false]" {
		t.Errorf("up %s, asked %v", show(up), seen)
	}
}
