package modbus

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func point(t *testing.T, text string) *Point {
	t.Helper()
	c := Config{URL: "tcp://h:502", Devices: []Device{{Product: plc.Product, Device: plc.SN, Points: make([]Point, 1)}}}
	if err := yaml.Unmarshal([]byte(text), &c.Devices[0].Points[0]); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	return &c.Devices[0].Points[0]
}

func TestValues(t *testing.T) {
	for _, tt := range []struct {
		point string
		regs  []uint16
		want  string
	}{
		{"{name: x}", []uint16{65535}, "65535"},
		{"{name: x, type: int16}", []uint16{65535}, "-1"},
		{"{name: x, type: uint32}", []uint16{1, 2}, "65538"},
		{"{name: x, type: uint32, word_order: little}", []uint16{2, 1}, "65538"},
		{"{name: x, type: uint32, byte_order: little}", []uint16{0x0100, 0x0200}, "65538"},
		{"{name: x, type: int32}", []uint16{0xffff, 0xfffe}, "-2"},
		{"{name: x, type: uint64}", []uint16{0xffff, 0xffff, 0xffff, 0xffff}, "18446744073709551615"},
		{"{name: x, type: int64, word_order: little}", []uint16{0xffff, 0xffff, 0xffff, 0xffff}, "-1"},
		{"{name: x, type: float32}", []uint16{0x41c8, 0x0000}, "25"},
		{"{name: x, type: float32}", []uint16{0x3dcc, 0xcccd}, "0.1"},
		{"{name: x, type: float64}", []uint16{0x3ff8, 0, 0, 0}, "1.5"},
		{"{name: x, scale: 0.1}", []uint16{2301}, "230.1"},
		{"{name: x, scale: 0.01, offset: -40}", []uint16{6512}, "25.12"},
		{"{name: x, type: int16, scale: 10}", []uint16{0xffff}, "-10"},
		{"{name: x, type: bool, bit: 4}", []uint16{16}, "1"},
		{"{name: x, table: coil}", []uint16{1}, "1"},
	} {
		p := point(t, tt.point)
		got, _, err := p.decode(tt.regs)
		if err != nil || got != tt.want {
			t.Errorf("%s of %x: %s, %v, want %s", tt.point, tt.regs, got, err, tt.want)
		}
		back, err := p.encode(json.RawMessage(tt.want))
		if err != nil || fmt.Sprint(back) != fmt.Sprint(tt.regs) {
			t.Errorf("%s to %s: %x, %v, want %x", tt.point, tt.want, back, err, tt.regs)
		}
	}
	for _, tt := range []struct{ point, value string }{
		{"{name: x}", "-1"}, {"{name: x}", "65536"}, {"{name: x}", `"1"`}, {"{name: x}", "null"}, {"{name: x, type: int16}", "32768"},
		{"{name: x, type: bool}", "2"}, {"{name: x, type: float32}", "1e39"}, {"{name: x, scale: 0.1}", "6553.6"}, {"{name: x, type: int64}", "9223372036854775808"},
		{"{name: x, type: float64}", "1e400"}, {"{name: x}", ""}, {"{name: x, type: uint64}", "18446744073709551616"},
	} {
		if regs, err := point(t, tt.point).encode(json.RawMessage(tt.value)); err == nil {
			t.Errorf("%s took %s as %x", tt.point, tt.value, regs)
		}
	}
	if _, _, err := point(t, "{name: x, type: float32}").decode([]uint16{0x7fc0, 0}); err == nil {
		t.Error("NaN is a value")
	}
}

func TestPlan(t *testing.T) {
	gap := 4
	d := Device{Product: plc.Product, Device: plc.SN, MaxGap: &gap, MaxBlock: 10, Points: []Point{
		{Name: "a", Address: 0}, {Name: "b", Address: 1, Type: "uint32"}, {Name: "c", Address: 7}, {Name: "d", Address: 9, Type: "uint32"},
		{Name: "e", Address: 15}, {Name: "f", Table: "coil", Address: 0}, {Name: "g", Table: "coil", Address: 3}, {Name: "bit", Address: 0, Type: "bool", Bit: 2},
		{Name: "fast", Address: 2, Every: minEvery},
	}}
	c := Config{URL: "tcp://h:502", Devices: []Device{d}}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range plan(&c.Devices[0]) {
		var names []string
		for _, p := range b.points {
			names = append(names, p.Name)
		}
		got = append(got, fmt.Sprintf("%s %d+%d %s", b.table, b.addr, b.count, strings.Join(names, ",")))
	}
	want := "[coil 0+4 f,g holding 2+1 fast holding 0+8 a,bit,b,c holding 9+7 d,e]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}

func TestCheckRefuses(t *testing.T) {
	const dev = "product: abcdefghij012345, device: plc-1"
	for text, want := range map[string]string{
		"{url: 'udp://x:1'}": "url:", "{url: 'tcp://x'}": "url:", "{url: 'rtu://x'}": "url:", "{url: 'tcp://x:1', parity: mark}": "parity:",
		"{url: 'tcp://x:1', devices: [{product: x}]}":                                                     "devices[0]",
		"{url: 'tcp://x:1', devices: [{" + dev + ", points: [{address: 1}]}]}":                            "name: missing",
		"{url: 'tcp://x:1', devices: [{" + dev + ", points: [{name: a, type: int8}]}]}":                   "type:",
		"{url: 'tcp://x:1', devices: [{" + dev + ", points: [{name: a, table: coil, type: int16}]}]}":     "a coil is a bool",
		"{url: 'tcp://x:1', devices: [{" + dev + ", points: [{name: a, table: input, write: true}]}]}":    "can't be written",
		"{url: 'tcp://x:1', devices: [{" + dev + ", points: [{name: a, address: 65535, type: uint32}]}]}": "address:",
		"{url: 'tcp://x:1', devices: [{" + dev + ", points: [{name: a}, {name: a}]}]}":                    "twice",
		"{url: 'tcp://x:1', devices: [{" + dev + ", points: [{name: a, bit: 3}]}]}":                       "bit:",
		"{url: 'tcp://x:1', devices: [{" + dev + ", points: [{name: a, scale: .nan}]}]}":                  "scale",
		"{url: 'tcp://x:1', devices: [{" + dev + "}, {" + dev + "}]}":                                     "twice",
		"{url: 'tcp://x:1', devices: [{" + dev + ", commands: [{name: c, set: {a: 1}}]}]}":                "commands[0]",
		"{url: 'tcp://x:1', devices: [{" + dev + ", max_block: 126}]}":                                    "max_block",
		"{url: 'tcp://x:1', devices: [{" + dev + ", every: 1ms}]}":                                        "every",
		"{url: 'tcp://x:1', devices: [{" + dev + ", points: [{name: a, byte_order: middle}]}]}":           "byte_order",
	} {
		var c Config
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// FuzzPoint: what a point makes of any registers goes back to them, and no value of a message breaks it.
func FuzzPoint(f *testing.F) {
	f.Add("uint16", "big", 1.0, 0.0, uint64(1), "1")
	f.Add("int32", "little", 0.1, -40.0, uint64(1<<31), "-2e9")
	f.Add("float32", "big", 1.0, 0.0, uint64(0x7f800001), "nan")
	f.Fuzz(func(t *testing.T, kind, order string, scale, offset float64, bits uint64, text string) {
		p := Point{Name: "x", Type: kind, WordOrder: order, ByteOrder: "big", Table: "holding", Scale: scale, Offset: offset, Every: minEvery}
		if p.check() != nil || scale == 0 {
			return
		}
		regs := p.regsOf(bits)
		if got := p.regsOf(p.bitsOf(regs)); fmt.Sprint(got) != fmt.Sprint(regs) {
			t.Fatalf("%x became %x", regs, got)
		}
		if v, _, err := p.decode(regs); err == nil && !json.Valid([]byte(v)) {
			t.Fatalf("%x became %s, which is not JSON", regs, v)
		}
		if regs, err := p.encode(json.RawMessage(text)); err == nil && len(regs) != words[kind] {
			t.Fatalf("%s became %x", text, regs)
		}
	})
}
