package actionapi

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// Things is what the API needs of the thing model.
type Things interface {
	Latest(ctx context.Context, dev ident.Device) ([]thingmodel.Value, error)
	SetProperty(ctx context.Context, dev ident.Device, s thingmodel.Setting) (thingmodel.SetResult, error)
	Command(ctx context.Context, dev ident.Device, c thingmodel.Command) (thingmodel.Result, error)
	Commands(ctx context.Context, dev ident.Device, q thingmodel.Query) ([]*thingmodel.Record, error)
	Events(ctx context.Context, dev ident.Device, q thingmodel.Query) ([]thingmodel.EventRecord, error)
}

var _ Things = (*thingmodel.Things)(nil)

// template is the product's definition; never nil.
func template(c *call) *thing.Template {
	if c.product.Template == nil {
		return &thing.Template{}
	}
	return c.product.Template
}

func (f *face) getTemplate(_ context.Context, c *call) (any, error) {
	return struct{ Template json.RawMessage }{template(c).AppendJSON(nil)}, nil
}

// property is a value as the device's own messages have it.
type property struct {
	Value json.RawMessage
	Time  int64
}

func (f *face) getProperty(ctx context.Context, c *call) (any, error) {
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	values, err := f.Things.Latest(ctx, d.Identity)
	if err != nil {
		return nil, err
	}
	out := struct {
		Status, LatestUpdateTime string
		Property                 map[string]property
	}{statuses[d.State], "0", make(map[string]property, len(values))}
	latest := int64(0)
	for _, v := range values {
		ms := v.Time.UnixMilli()
		latest = max(latest, ms)
		out.Property[v.Identifier] = property{v.Value, ms}
	}
	out.LatestUpdateTime = strconv.FormatInt(latest, 10)
	return out, nil
}

func (f *face) setProperty(ctx context.Context, c *call) (any, error) {
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	values, err := c.needDecoded("Property")
	if err != nil {
		return nil, err
	}
	desired, err := c.flag("Desired")
	if err != nil {
		return nil, err
	}
	res, err := f.Things.SetProperty(ctx, d.Identity, thingmodel.Setting{Property: values, Desired: desired})
	out := struct{ RequestID string }{res.RequestID}
	if err == nil && res.Code != message.CodeOK {
		err = refused(res.Code, res.Message)
	}
	return told(out, err)
}

// refused is a device's answer that is no success.
func refused(code message.Code, text string) error {
	if text != "" {
		text = ": " + text
	}
	return fault{message.CodeBadCommandReply, fmt.Sprintf("the device answered with RetCode %d%s", code, text)}
}

// told is an answer that holds, for errors too, how the request to the device is called.
func told(body any, err error) (any, error) {
	if err == nil {
		return body, nil
	}
	return nil, withCode{err, body}
}

// maxSync is how long the caller of a synchronous command may wait.
const maxSync = 5 * time.Second

func (f *face) sendCommand(ctx context.Context, c *call) (any, error) {
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	command, err := commandOf(c)
	if err != nil {
		return nil, err
	}
	command.By = callerOf(ctx)
	res, err := f.Things.Command(ctx, d.Identity, command)
	out := struct {
		RequestID string
		Output    json.RawMessage
	}{res.RequestID, orEmpty(res.Output)}
	if err == nil && res.Code != message.CodeOK {
		err = refused(res.Code, "")
	}
	if res.RequestID == "" {
		return nil, err
	}
	return told(out, err)
}

func commandOf(c *call) (thingmodel.Command, error) {
	var out thingmodel.Command
	var err error
	if out.Identifier, err = c.need("Identifier"); err != nil {
		return out, err
	}
	if out.Input, err = c.decoded("Input"); err != nil {
		return out, err
	}
	switch c.text("Method") {
	case "", "async":
		out.Async = true
		return out, nil // Timeout is for those who wait
	case "sync":
	default:
		return out, bad("Method", "must be sync or async")
	}
	seconds, err := c.number("Timeout", 0, int64(maxSync/time.Second))
	if out.Timeout = time.Duration(seconds) * time.Second; seconds == 0 {
		out.Timeout = maxSync
	}
	return out, err
}

func orEmpty(object json.RawMessage) json.RawMessage {
	if len(object) == 0 || string(object) == "null" {
		return json.RawMessage("{}")
	}
	return object
}

// listing are the parameters of the lists of commands and events.
type listing struct {
	query         thingmodel.Query
	request       string
	offset, limit int
}

func listingOf(c *call) (l listing, err error) {
	offset, err := c.number("Offset", 0, 1<<31)
	if err != nil {
		return l, err
	}
	limit, err := c.number("Limit", -1, math.MaxInt32)
	if err != nil {
		return l, err
	}
	if limit <= 0 { // -1 and nothing are all
		limit = math.MaxInt32
	}
	var times [2]time.Time
	for i, name := range []string{"StartTime", "EndTime"} {
		s, err := c.number(name, 0, 1<<40)
		if err != nil {
			return l, err
		}
		if s > 0 {
			times[i] = time.Unix(s, 0)
		}
	}
	if !times[1].IsZero() {
		times[1] = times[1].Add(time.Second) // the second that is named is in it
		if times[1].Before(times[0]) {
			return l, fault{codeRange, "EndTime: is before StartTime"}
		}
	}
	return listing{thingmodel.Query{Identifier: c.text("Identifier"), From: times[0], To: times[1], Limit: registry.MaxLimit}, c.text("RequestID"), int(offset), int(limit)}, nil
}

// everything reads all pages of records that are kept of a device, which the hub bounds; id is the record's.
func everything[T any](q thingmodel.Query, read func(thingmodel.Query) ([]T, error), id func(T) int64) (list []T, err error) {
	for {
		some, err := read(q)
		if err != nil {
			return nil, err
		}
		if list = append(list, some...); len(some) < q.Limit {
			return list, nil
		}
		q.Before = id(some[len(some)-1])
	}
}

// results are the states of a command as this API calls them.
var results = map[string]string{thingmodel.StatusSucceeded: "success", thingmodel.StatusFailed: "fail", thingmodel.StatusSent: "sent", thingmodel.StatusQueued: "queued",
	thingmodel.StatusExpired: "timeout", thingmodel.StatusCancelled: "cancelled"}

type commandRecord struct {
	RequestID, Identifier, Name, Time string
	Input, Output                     json.RawMessage
	Result                            string
}

func (f *face) getCommandList(ctx context.Context, c *call) (any, error) {
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	l, err := listingOf(c)
	if err != nil {
		return nil, err
	}
	list, err := everything(l.query, func(q thingmodel.Query) ([]*thingmodel.Record, error) { return f.Things.Commands(ctx, d.Identity, q) },
		func(r *thingmodel.Record) int64 { return r.ID })
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for i := range template(c).Command {
		names[template(c).Command[i].Identifier] = template(c).Command[i].Name
	}
	var found []commandRecord
	for _, r := range list {
		if l.request != "" && r.RequestID != l.request {
			continue
		}
		one := commandRecord{RequestID: r.RequestID, Identifier: r.Identifier, Name: names[r.Identifier], Time: millis(r.Created), Input: orEmpty(r.Input),
			Output: orEmpty(r.Output), Result: results[r.Status]}
		if r.Code == message.CodeCommandTimeout {
			one.Result = results[thingmodel.StatusExpired]
		}
		found = append(found, one)
	}
	return struct {
		TotalCount int
		CommandSet []commandRecord
	}{len(found), window(found, l.offset, l.limit)}, nil
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

type eventRecord struct {
	RequestID, Identifier, Name, Type, Time string
	Output                                  json.RawMessage
}

// getEventList gives for RequestID the event's own number: that of the device's message is not kept.
func (f *face) getEventList(ctx context.Context, c *call) (any, error) {
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	l, err := listingOf(c)
	if err != nil {
		return nil, err
	}
	list, err := everything(l.query, func(q thingmodel.Query) ([]thingmodel.EventRecord, error) { return f.Things.Events(ctx, d.Identity, q) },
		func(e thingmodel.EventRecord) int64 { return e.ID })
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for i := range template(c).Event {
		names[template(c).Event[i].Identifier] = template(c).Event[i].Name
	}
	var found []eventRecord
	for _, e := range list {
		id := strconv.FormatInt(e.ID, 10)
		if l.request != "" && id != l.request {
			continue
		}
		found = append(found, eventRecord{id, e.Identifier, names[e.Identifier], e.Type, millis(e.At), orEmpty(e.Output)})
	}
	return struct {
		TotalCount int
		EventSet   []eventRecord
	}{len(found), window(found, l.offset, l.limit)}, nil
}
