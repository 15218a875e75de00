package rulesql

import (
	"strings"
	"time"
)

// fixed are the units that always have the same length, in milliseconds.
var fixed = map[string]int64{
	"millisecond": 1, "second": 1000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 7 * 86_400_000,
}

// unit returns a constant unit in the singular.
func (c *compiler) unit(x *Call) string {
	name := c.word(x, 0, "", "the unit")
	u := strings.TrimSuffix(strings.ToLower(name), "s")
	if u == "m" { // ms
		u = "millisecond"
	}
	if fixed[u] == 0 && u != "month" && u != "year" {
		c.fail(x.line, x.column, "it is one of millisecond second minute hour day week month year", "there is no unit "+name)
		return "day"
	}
	return u
}

// dateDiff is date_diff('unit', from, to): the whole units between two times, negative if to is earlier. It counts in UTC.
func (c *compiler) dateDiff(x *Call) evaluator {
	unit, from, to := c.unit(x), c.date(x, 1), c.date(x, 2)
	return func(e *Env) val {
		a, v, ok := from(e)
		if !ok {
			return v
		}
		b, v, ok := to(e)
		if !ok {
			return v
		}
		if n := fixed[unit]; n != 0 {
			return integer((b.UnixMilli() - a.UnixMilli()) / n)
		}
		months := monthsBetween(a, b)
		if unit == "year" {
			months /= 12
		}
		return integer(months)
	}
}

// monthsBetween counts the whole months from a to b.
func monthsBetween(a, b time.Time) int64 {
	if b.Before(a) {
		return -monthsBetween(b, a)
	}
	n := int64(b.Year()-a.Year())*12 + int64(b.Month()-a.Month())
	if addMonths(a, n).After(b) {
		n--
	}
	return n
}

// addMonths keeps to the end of the month: a month after the 31st of January is the last of February.
func addMonths(t time.Time, n int64) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}

// dateAdd is date_add('unit', n, time).
func (c *compiler) dateAdd(x *Call) evaluator {
	unit, count, date := c.unit(x), c.number(x, 1), c.date(x, 2)
	return func(e *Env) val {
		n, ok := count(e)
		if !ok {
			return n
		}
		t, v, ok := date(e)
		if !ok {
			return v
		}
		length, most := fixed[unit], int64(120_000) // months
		if length != 0 {
			most = (maxMillis - minMillis) / length
		}
		if n.num > most || n.num < -most {
			return e.unfit(x, "the time is not in the years 1 to 9999")
		}
		switch {
		case length != 0:
			return millis(e, x, time.UnixMilli(t.UnixMilli()+n.num*length).UTC())
		case unit == "year":
			return millis(e, x, addMonths(t, 12*n.num))
		}
		return millis(e, x, addMonths(t, n.num))
	}
}

// dateTrunc is date_trunc('unit', time, zone): the beginning of the unit that the time is in. Weeks begin on Monday.
func (c *compiler) dateTrunc(x *Call) evaluator {
	unit, date, zone := c.unit(x), c.date(x, 1), c.zone(x, 2)
	return func(e *Env) val {
		t, v, ok := date(e)
		if !ok {
			return v
		}
		t = t.In(zone)
		year, month, day := t.Date()
		switch unit {
		case "millisecond":
		case "second", "minute":
			t = t.Truncate(time.Duration(fixed[unit]) * time.Millisecond)
		case "hour":
			t = t.Add(-time.Duration(t.Minute())*time.Minute - time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
		case "day":
			t = time.Date(year, month, day, 0, 0, 0, 0, zone)
		case "week":
			t = time.Date(year, month, day-(int(t.Weekday())+6)%7, 0, 0, 0, 0, zone)
		case "month":
			t = time.Date(year, month, 1, 0, 0, 0, 0, zone)
		default:
			t = time.Date(year, 1, 1, 0, 0, 0, 0, zone)
		}
		return millis(e, x, t)
	}
}

// parts of a time that date_part gives.
var parts = map[string]func(time.Time) int{
	"year": time.Time.Year, "month": func(t time.Time) int { return int(t.Month()) }, "day": time.Time.Day,
	"hour": time.Time.Hour, "minute": time.Time.Minute, "second": time.Time.Second,
	"millisecond": func(t time.Time) int { return t.Nanosecond() / 1_000_000 },
	"weekday":     func(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }, // Monday is 1, as ISO 8601 has it
	"yearday":     time.Time.YearDay,
	"week":        func(t time.Time) int { _, w := t.ISOWeek(); return w },
}

// datePart is date_part('hour', time, zone).
func (c *compiler) datePart(x *Call) evaluator {
	name := strings.ToLower(c.word(x, 0, "", "the part"))
	part, date, zone := parts[name], c.date(x, 1), c.zone(x, 2)
	if part == nil {
		c.fail(x.line, x.column, "it is one of year month day hour minute second millisecond weekday yearday week", "a time has no part "+name)
		return constant(val{})
	}
	return func(e *Env) val {
		t, v, ok := date(e)
		if !ok {
			return v
		}
		return integer(int64(part(t.In(zone))))
	}
}
