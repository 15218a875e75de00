package modbus

import (
	"slices"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/topic"
)

// TestGroupIsOneWrite: points of a group that a message sets and that are neighbours go out in one request, whatever they were set by; the others alone.
func TestGroupIsOneWrite(t *testing.T) {
	s := serve(t)
	text := s.config(`{name: speed, address: 10, type: uint32, write: true, group: move}, {name: ramp, address: 12, write: true, group: move},
		{name: torque, address: 13, type: float32, write: true, group: move}, {name: other, address: 15, write: true},
		{name: a, table: coil, address: 1, write: true, group: bits}, {name: b, table: coil, address: 2, write: true, group: bits}`)
	text = strings.Replace(text, "points:", "commands: [{name: go, set: {torque: n, ramp: 7, other: 9}}], points:", 1)
	d, _ := master(t, text)
	d.is(t, "other", "0")
	took := func(want ...string) {
		t.Helper()
		d.until(t, strings.Join(want, ", "), func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.writes) >= len(want)
		})
		s.mu.Lock()
		defer s.mu.Unlock()
		if slices.Sort(s.writes); !slices.Equal(s.writes, want) {
			t.Errorf("written were %v, want %v", s.writes, want)
		}
		s.writes = nil
	}
	d.tell(t, topic.PropertySet, `{"RequestID":"1","Property":{"torque":1.5,"speed":65537,"other":3,"ramp":2,"b":1,"a":1}}`)
	d.hears(t, `set_reply {"RequestID":"1","RetCode":0,`)
	took("10+5", "15+1", "coils 1+2")
	for name, want := range map[string]string{"speed": "65537", "ramp": "2", "torque": "1.5", "other": "3", "a": "1", "b": "1"} {
		d.is(t, name, want)
	}
	d.tell(t, topic.PropertySet, `{"RequestID":"2","Property":{"torque":2.5,"speed":1}}`) // ramp is between them
	d.hears(t, `set_reply {"RequestID":"2","RetCode":0,`)
	took("10+2", "13+2")
	d.tell(t, topic.Command, `{"RequestID":"3","Identifier":"go","Input":{"n":4}}`)
	d.hears(t, `command_reply {"RequestID":"3","RetCode":0,`)
	took("12+3", "15+1")
	d.tell(t, topic.Command, `{"RequestID":"4","Identifier":"go","Input":{"n":"x"}}`)
	d.hears(t, `command_reply {"RequestID":"4","RetCode":220,`)
	d.tell(t, topic.DesiredGetReply, `{"RetCode":0,"RequestID":"9","Desired":{"ramp":{"Value":5,"Version":3},"speed":{"Value":6,"Version":1},"none":{"Value":6,"Version":1}}}`)
	d.hears(t, `"Delete":{"ramp":{"Version":3},"speed":{"Version":1}}`)
	took("10+3")
}

func TestGroupsAreChecked(t *testing.T) {
	for _, tt := range []struct {
		points []Point
		want   string
	}{
		{[]Point{{Name: "a", Group: "g", Write: true}, {Name: "b", Address: 2, Group: "g", Write: true}}, "group g: its points are not one behind the other"},
		{[]Point{{Name: "a", Group: "g", Write: true}, {Name: "b", Table: "coil", Address: 1, Group: "g", Write: true}}, "group g"},
		{[]Point{{Name: "a", Group: "g", Type: "bool", Bit: 1, Write: true}}, "points[0]: group: a can't be written together"},
		{[]Point{{Name: "a", Group: "g", Table: "input"}}, "points[0]: group"},
		{[]Point{{Name: "a", Group: "g", Address: 1, Type: "float64", Write: true}, {Name: "b", Address: 5, Group: "g", Write: true}}, ""},
	} {
		c := Config{URL: "tcp://192.0.2.1:502", Devices: []Device{{Product: plc.Product, Device: plc.SN, Points: tt.points}}}
		if err := c.Check(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.points, err, tt.want)
		}
	}
}
