// Package cron reads when something is to happen, as five fields of cron say: for the windows of updates and the timers of gateways.
package cron

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Times are when five fields of cron are true: minute, hour, day of the month, month, day of the week. Each is a set of bits.
type Times struct {
	minute, hour, day, month, weekday uint64
	anyDay, anyWeekday                bool
}

// At tells whether the minute of t is one of the times. As everywhere, either day is enough when both are restricted.
func (c Times) At(t time.Time) bool {
	has := func(set uint64, n int) bool { return set>>n&1 == 1 }
	if !has(c.minute, t.Minute()) || !has(c.hour, t.Hour()) || !has(c.month, int(t.Month())) {
		return false
	}
	day, weekday := has(c.day, t.Day()), has(c.weekday, int(t.Weekday()))
	if c.anyDay || c.anyWeekday {
		return day && weekday
	}
	return day || weekday
}

// ErrForm is wrapped by the errors of Parse.
var ErrForm = errors.New("want five fields of cron: numbers, *, ranges a-b, steps /n, lists with commas")

func wrong(text string) error { return fmt.Errorf("%.60q: %w", text, ErrForm) }

// The names that fields may use.
var (
	monthNames   = []string{"", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	weekdayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// Parse reads five fields.
func Parse(text string) (Times, error) {
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return Times{}, wrong(text)
	}
	c := Times{anyDay: strings.HasPrefix(fields[2], "*"), anyWeekday: strings.HasPrefix(fields[4], "*")}
	for i, f := range []struct {
		set      *uint64
		from, to int
		names    []string
	}{{&c.minute, 0, 59, nil}, {&c.hour, 0, 23, nil}, {&c.day, 1, 31, nil}, {&c.month, 1, 12, monthNames}, {&c.weekday, 0, 7, weekdayNames}} {
		for part := range strings.SplitSeq(fields[i], ",") {
			set, ok := parsePart(part, f.from, f.to, f.names)
			if !ok {
				return Times{}, wrong(text)
			}
			*f.set |= set
		}
	}
	c.weekday |= c.weekday >> 7 // 7 is Sunday too
	return c, nil
}

// parsePart reads one of *, n, a-b, each with /step behind if need be.
func parsePart(text string, from, to int, names []string) (set uint64, ok bool) {
	span, stepText, stepped := strings.Cut(text, "/")
	step := 1
	if stepped {
		var err error
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 || step > to {
			return 0, false
		}
	}
	a, b := from, to
	if span != "*" {
		first, last, ranged := strings.Cut(span, "-")
		if a, ok = parseNumber(first, from, to, names); !ok {
			return 0, false
		}
		switch {
		case ranged:
			if b, ok = parseNumber(last, a, to, names); !ok {
				return 0, false
			}
		case !stepped:
			b = a
		}
	}
	for n := a; n <= b; n += step {
		set |= 1 << n
	}
	return set, true
}

func parseNumber(text string, from, to int, names []string) (int, bool) {
	for i, name := range names {
		if name != "" && strings.EqualFold(text, name) {
			return i, i >= from && i <= to
		}
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= from && n <= to && text[0] != '+' && text[0] != '-'
}
