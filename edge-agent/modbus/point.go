package modbus

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// words is how many registers a type takes; a coil or a discrete input is one by itself.
var words = map[string]int{
	"bool": 1, "uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "float32": 2, "uint64": 4, "int64": 4, "float64": 4,
}

var (
	errRange = errors.New("modbus: the value does not fit the point")
	errNaN   = errors.New("modbus: not a number")
)

// bitsOf puts the registers of a value together.
func (p *Point) bitsOf(regs []uint16) (v uint64) {
	for i := range regs {
		r := regs[i]
		if p.WordOrder == "little" {
			r = regs[len(regs)-1-i]
		}
		if p.ByteOrder == "little" {
			r = r<<8 | r>>8
		}
		v = v<<16 | uint64(r)
	}
	return v
}

// regsOf is the inverse of bitsOf.
func (p *Point) regsOf(v uint64) []uint16 {
	n := words[p.Type]
	regs := make([]uint16, n)
	for i := range n {
		r := uint16(v >> (16 * (n - 1 - i)))
		if p.ByteOrder == "little" {
			r = r<<8 | r>>8
		}
		at := i
		if p.WordOrder == "little" {
			at = n - 1 - i
		}
		regs[at] = r
	}
	return regs
}

// plain tells whether the number is the value.
func (p *Point) plain() bool { return p.Scale == 1 && p.Offset == 0 }

// decode makes the property's value of registers, as JSON, and as a number for the deadband.
func (p *Point) decode(regs []uint16) (text string, v float64, err error) {
	b := p.bitsOf(regs)
	switch p.Type {
	case "bool":
		v = float64(b >> p.Bit & 1)
		return strconv.FormatUint(b>>p.Bit&1, 10), v, nil
	case "uint16", "uint32", "uint64":
		if p.plain() {
			return strconv.FormatUint(b, 10), float64(b), nil
		}
		return p.scaled(float64(b), true)
	case "int16", "int32", "int64":
		shift := 64 - 16*len(regs)
		i := int64(b<<shift) >> shift
		if p.plain() {
			return strconv.FormatInt(i, 10), float64(i), nil
		}
		return p.scaled(float64(i), true)
	case "float32":
		f := math.Float32frombits(uint32(b))
		if !p.plain() {
			return p.scaled(float64(f), false)
		}
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			return "", 0, errNaN
		}
		return strconv.FormatFloat(float64(f), 'f', -1, 32), float64(f), nil
	default:
		return p.scaled(math.Float64frombits(b), false)
	}
}

// scaled is v × Scale + Offset; of an integer it has as many decimals as Scale and Offset together make.
func (p *Point) scaled(v float64, whole bool) (string, float64, error) {
	v = v*p.Scale + p.Offset
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "", 0, errNaN
	}
	digits := -1
	if whole {
		digits = max(decimals(p.Scale), decimals(p.Offset))
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	v, err := strconv.ParseFloat(text, 64)
	return text, v, err
}

// decimals is how many digits the shortest decimal of v has behind the point.
func decimals(v float64) int {
	_, behind, _ := strings.Cut(strconv.FormatFloat(v, 'f', -1, 64), ".")
	return len(behind)
}

// encode makes registers of a value that is to be written. A bool has one register, of which only Bit counts.
func (p *Point) encode(raw json.RawMessage) ([]uint16, error) {
	text := strings.TrimSpace(string(raw))
	switch {
	case p.Type == "bool" && (text == "true" || text == "1"):
		return []uint16{1 << p.Bit}, nil
	case p.Type == "bool" && (text == "false" || text == "0"):
		return []uint16{0}, nil
	case p.Type == "bool":
		return nil, fmt.Errorf("%w: want 0 or 1", errRange)
	case strings.HasPrefix(p.Type, "float") || !p.plain():
		return p.encodeFloat(text)
	case p.Type[0] == 'u':
		v, err := strconv.ParseUint(text, 10, 16*words[p.Type])
		if err != nil {
			return p.encodeFloat(text)
		}
		return p.regsOf(v), nil
	}
	v, err := strconv.ParseInt(text, 10, 16*words[p.Type])
	if err != nil {
		return p.encodeFloat(text)
	}
	return p.regsOf(uint64(v)), nil
}

func (p *Point) encodeFloat(text string) ([]uint16, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return nil, fmt.Errorf("%w: want a number", errRange)
	}
	v = (v - p.Offset) / p.Scale
	switch p.Type {
	case "float32":
		if math.Abs(v) > math.MaxFloat32 {
			return nil, errRange
		}
		return p.regsOf(uint64(math.Float32bits(float32(v)))), nil
	case "float64":
		return p.regsOf(math.Float64bits(v)), nil
	}
	v = math.Round(v)
	n := float64(16 * words[p.Type])
	if p.Type[0] == 'u' {
		if v < 0 || v >= math.Exp2(n) {
			return nil, errRange
		}
		return p.regsOf(uint64(v)), nil
	}
	if v < -math.Exp2(n-1) || v >= math.Exp2(n-1) {
		return nil, errRange
	}
	return p.regsOf(uint64(int64(v))), nil
}
