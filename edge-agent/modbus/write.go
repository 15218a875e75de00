package modbus

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// How many registers, and how many coils, a request may write.
const (
	maxWriteWords = 123
	maxWriteBits  = 1968
)

// runs puts points together that may be written with one request: those of a group that are one behind the other. The others are alone.
func runs(points []*Point) (list [][]*Point) {
	sorted := slices.Clone(points)
	slices.SortStableFunc(sorted, func(a, b *Point) int {
		if a.Table != b.Table {
			return compare(a.Table, b.Table)
		}
		return compare(a.Address, b.Address)
	})
	for _, p := range sorted {
		n := len(list)
		if n > 0 && p.Group != "" {
			first, last := list[n-1][0], list[n-1][len(list[n-1])-1]
			most := maxWriteWords
			if p.bits() {
				most = maxWriteBits
			}
			if last.Group == p.Group && last.Table == p.Table && int(last.Address)+words[last.Type] == int(p.Address) &&
				int(p.Address)+words[p.Type]-int(first.Address) <= most {
				list[n-1] = append(list[n-1], p)
				continue
			}
		}
		list = append(list, []*Point{p})
	}
	return list
}

// writeAll writes values that are known to be right, and has them read back so that what the device made of them is reported. It ends with the first
// error, unless each is given: then it goes on, and each run's points and error are handed to it.
func (u *unit) writeAll(values map[string]json.RawMessage, each func(run []*Point, err error)) error {
	var points []*Point
	for name := range values {
		points = append(points, u.points[name])
	}
	for _, run := range runs(points) {
		err := u.write(run, values)
		if each != nil {
			each(run, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// write writes one run.
func (u *unit) write(run []*Point, values map[string]json.RawMessage) error {
	var regs []uint16
	for _, p := range run {
		part, err := p.encode(values[p.Name])
		if err != nil {
			return fmt.Errorf("%w: %s: %w", message.CodeRange, p.Name, err)
		}
		regs = append(regs, part...)
	}
	if err := u.bus.write(u.cfg.Unit, run, regs); err != nil {
		if errors.Is(err, errClosed) || !u.bus.judge(err) {
			err = silence{err}
		}
		return fmt.Errorf("%w: %s: %w", message.CodeInternal, run[0].Name, err)
	}
	for _, p := range run {
		delete(u.last, p.Name)
		for _, bl := range u.blocks {
			if slices.Contains(bl.points, p) {
				bl.due = time.Time{}
			}
		}
	}
	return nil
}

// silence is the error of a write that the device did not answer.
type silence struct{ error }

func (s silence) Unwrap() error { return s.error }

// check1 reports why a value can't be written.
func (u *unit) check1(name string, value json.RawMessage) error {
	p := u.points[name]
	switch {
	case p == nil:
		return fmt.Errorf("%w: %s", message.CodeNoSuchIdentifier, name)
	case !p.Write:
		return fmt.Errorf("%w: %s", message.CodeReadOnly, name)
	}
	if _, err := p.encode(value); err != nil {
		return fmt.Errorf("%w: %s: %w", message.CodeRange, name, err)
	}
	return nil
}

// check refuses a whole message for one value that can't be written, before anything is.
func (u *unit) check(values map[string]json.RawMessage) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := u.check1(name, values[name]); err != nil {
			return err
		}
	}
	return nil
}

// good are the values that can be written; the others are logged.
func (u *unit) good(values map[string]json.RawMessage) map[string]json.RawMessage {
	good := make(map[string]json.RawMessage)
	for name, v := range values {
		if err := u.check1(name, v); err != nil {
			u.missing(name, err)
			continue
		}
		good[name] = v
	}
	return good
}

// missing tells of a value that is not written.
func (u *unit) missing(name string, err error) {
	u.bus.log.Warn("a desired value is not written", "product", u.id.Product, "device", u.id.SN, "key", name, "err", err)
}

// writeGood writes what can be written and hands over the names of what is. What the device did not answer to is asked for again, by a message of
// that kind.
func (u *unit) writeGood(again topic.Kind, values map[string]json.RawMessage, written func(name string)) {
	_ = u.writeAll(u.good(values), func(run []*Point, err error) { // each is told
		if errors.As(err, new(silence)) {
			u.unwritten, u.owes[again] = time.Now(), true
		}
		for _, p := range run {
			if err != nil {
				u.missing(p.Name, err)
			} else {
				written(p.Name)
			}
		}
	})
}

// set answers property/set.
func (u *unit) set(id message.RequestID, values map[string]json.RawMessage) {
	err := u.check(values)
	if err == nil {
		err = u.writeAll(values, nil)
	}
	r := message.Reply{RequestID: id, RetCode: codeOf(err)}
	if err != nil {
		r.Message = message.Plain(err.Error())
	}
	u.send(topic.System(u.id, topic.PropertySetReply), r)
	u.flush()
}

// desired writes what was desired while the device was away, and says which of it is done.
func (u *unit) desired(values map[string]message.Desired) {
	done := message.DesiredDelete{RequestID: u.newRequest(), Delete: make(map[string]message.DesiredVersion)}
	want := make(map[string]json.RawMessage)
	for name, d := range values {
		want[name] = d.Value
	}
	u.writeGood(topic.DesiredGet, want, func(name string) { done.Delete[name] = message.DesiredVersion{Version: values[name].Version} })
	if len(done.Delete) > 0 {
		u.send(topic.System(u.id, topic.DesiredDelete), done)
	}
}

// shadow writes what the shadow desires, and reports it.
func (u *unit) shadow(values map[string]json.RawMessage) {
	type state struct {
		Reported map[string]json.RawMessage `json:"Reported"`
		Desired  map[string]json.RawMessage `json:"Desired"`
	}
	s := state{make(map[string]json.RawMessage), make(map[string]json.RawMessage)}
	u.writeGood(topic.ShadowGet, values, func(name string) { s.Reported[name], s.Desired[name] = values[name], json.RawMessage("null") })
	if len(s.Reported) > 0 {
		u.send(topic.System(u.id, topic.ShadowUpstream), struct {
			Method string `json:"Method"`
			State  state  `json:"State"`
		}{"update", s})
	}
}

// command does what the configuration says of it.
func (u *unit) command(id message.RequestID, name string, input map[string]json.RawMessage) {
	r := message.CommandReply{RequestID: id, Identifier: name, RetCode: message.CodeNoSuchCommand}
	for _, a := range u.cfg.Commands {
		if a.Name == name {
			err := u.act(a, input)
			r.RetCode, r.Output = codeOf(err), json.RawMessage("{}")
			if err != nil {
				r.Message = message.Plain(err.Error())
			}
		}
	}
	u.send(topic.Topic{Kind: topic.CommandReply, Device: u.id, Tail: string(id)}.String(), r)
}

func (u *unit) act(a Action, input map[string]json.RawMessage) error {
	values := make(map[string]json.RawMessage)
	for point, from := range a.Set {
		var v json.RawMessage
		switch from := from.(type) {
		case string:
			if v = input[from]; v == nil {
				return fmt.Errorf("%w: %s", message.CodeMissing, from)
			}
		case bool:
			v = strconv.AppendBool(nil, from)
		default:
			v = fmt.Append(nil, from)
		}
		if _, err := u.points[point].encode(v); err != nil {
			return fmt.Errorf("%w: %s: %w", message.CodeRange, point, err)
		}
		values[point] = v
	}
	return u.writeAll(values, nil)
}

// codeOf is the RetCode that an error stands for.
func codeOf(err error) message.Code {
	if err == nil {
		return message.CodeOK
	}
	var c message.Code
	if errors.As(err, &c) {
		return c
	}
	return message.CodeInternal
}
