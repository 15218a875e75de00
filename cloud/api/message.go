package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/messagelog"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Messages is what the API needs of the message log.
type Messages interface {
	List(ctx context.Context, f messagelog.Filter, c messagelog.Cursor, limit int, backward bool) (messagelog.Page, error)
	Message(ctx context.Context, id message.ID) (messagelog.Page, error)
	End() messagelog.Cursor
}

// errNoMessage is the answer for an id that the log does not know (any more).
var errNoMessage = problem{status: http.StatusNotFound, code: "message_not_found",
	detail: "nothing is logged of this message: it is too old, its product is not logged, or it never came"}

// listTries is how often a page is filled up that has few records which the caller may see.
const listTries = 4

func (s *server) ListMessages(ctx context.Context, r apitype.ListMessagesRequestObject) (apitype.ListMessagesResponseObject, error) {
	p := r.Params
	f, err := messageFilter(p.Product, p.Device, p.Application, p.Kind, p.Result, p.MessageID, p.Contains)
	if err != nil {
		return nil, err
	}
	f.From, f.To = deref(p.Since), deref(p.Until)
	page, err := pageOf(p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	if page.Limit == 0 {
		page.Limit = registry.DefaultLimit
	}
	page.Limit = min(page.Limit, messagelog.MaxLimit)
	cursor, err := messageCursor("cursor", page.Cursor)
	if err != nil {
		return nil, err
	}
	out := apitype.ListMessages200JSONResponse{Items: []apitype.MessageRecord{}}
	visible := s.messageVisible(ctx)
	for range listTries {
		got, err := s.Messages.List(ctx, f, cursor, page.Limit-len(out.Items), true)
		if err != nil {
			return nil, err
		}
		cursor = got.Next
		addRecords((*apitype.MessageRecordList)(&out), got, visible)
		if out.NextCursor = ""; !got.More {
			break
		}
		if out.NextCursor = cursor.String(); len(out.Items) >= page.Limit {
			break
		}
	}
	return out, nil
}

func (s *server) GetMessage(ctx context.Context, r apitype.GetMessageRequestObject) (apitype.GetMessageResponseObject, error) {
	id, err := message.ParseID(r.MessageID)
	if err != nil {
		return nil, errNoMessage
	}
	got, err := s.Messages.Message(ctx, id)
	if err != nil {
		return nil, err
	}
	out := apitype.GetMessage200JSONResponse{Items: []apitype.MessageRecord{}}
	addRecords((*apitype.MessageRecordList)(&out), got, s.messageVisible(ctx))
	if len(out.Items) == 0 && len(out.Missing) == 0 {
		return nil, errNoMessage
	}
	return out, nil
}

func addRecords(out *apitype.MessageRecordList, p messagelog.Page, visible func(*messagelog.Record) bool) {
	out.Missing, out.Damaged = p.Missing, out.Damaged || p.Damaged
	for i := range p.Records {
		if visible(&p.Records[i]) {
			out.Items = append(out.Items, messageOf(&p.Records[i]))
		}
	}
}

// messageVisible tells which records the caller may see: those of the products that they may read the devices of, and what applications did
// with keys of a project all of whose devices they may read. What is of neither, because nobody knows what was named, is for those who see
// everything.
func (s *server) messageVisible(ctx context.Context) func(*messagelog.Record) bool {
	p := account.From(ctx)
	return func(r *messagelog.Record) bool {
		if p.Everywhere || r.Kind == messagelog.KindLeftOut {
			return true
		}
		if r.Product == "" {
			return r.Project != "" && p.Sees(r.Project, "", account.DeviceRead)
		}
		product, err := s.Products.Product(ctx, r.Product)
		return err == nil && p.Sees(product.Project, product.SN, account.DeviceRead)
	}
}

// maxContains bounds the text that is looked for.
const maxContains = 256

func messageFilter(product, device, application *string, kinds *[]apitype.MessageKind, results *[]apitype.MessageResult, id, contains *string) (f messagelog.Filter, err error) {
	f.Product, f.Device, f.Application, f.Contains = deref(product), deref(device), deref(application), deref(contains)
	if f.Device != "" && f.Product == "" {
		return f, invalid("device", "device: wants product too, a deviceSN is unique in its product only")
	}
	if len(f.Contains) > maxContains {
		return f, invalid("contains", "contains: has more than %d bytes", maxContains)
	}
	for _, k := range deref(kinds) {
		if !k.Valid() {
			return f, invalid("kind", "kind: there is no %q", string(k))
		}
		f.Kinds = append(f.Kinds, string(k))
	}
	for _, r := range deref(results) {
		if !r.Valid() {
			return f, invalid("result", "result: there is no %q", string(r))
		}
		f.Results = append(f.Results, uplink.Result(r))
	}
	if id != nil && *id != "" {
		if f.ID, err = message.ParseID(*id); err != nil {
			return f, invalid("messageID", "messageID: is none")
		}
		if f.From.IsZero() {
			f.From = f.ID.Time().Add(-time.Minute)
		}
	}
	return f, nil
}

func messageCursor(field, text string) (messagelog.Cursor, error) {
	if text == "" {
		return nil, nil
	}
	c, err := messagelog.ParseCursor(text)
	if err != nil {
		return nil, invalid(field, "%s: was not made by this list: leave it out to start again", field)
	}
	return c, nil
}

func messageOf(r *messagelog.Record) apitype.MessageRecord {
	out := apitype.MessageRecord{Time: r.At, Kind: apitype.MessageKind(r.Kind), Result: apitype.MessageResult(r.Result), ProductSN: r.Product,
		DeviceSN: r.Device, Application: r.Application, Action: r.Action, Topic: r.Topic, Qos: int(r.QoS), Size: r.Size, Truncated: r.Truncated, Masked: r.Masked,
		Microseconds: r.Took.Microseconds(), MoreHops: r.More, LeftOut: int64(r.LeftOut), LoggedAt: r.Logged, Node: r.Node}
	if r.ID != 0 {
		out.MessageID = r.ID.String()
	}
	text := r.Text()
	for n := 0; r.Truncated && n < utf8.UTFMax && len(text) > 0 && !utf8.Valid(text); n++ {
		text = text[:len(text)-1] // cut in the middle of a character
	}
	if utf8.Valid(text) {
		out.Payload = string(text)
	} else {
		out.PayloadBase64 = base64.StdEncoding.EncodeToString(r.Payload)
	}
	for i := range r.Hops {
		h := &r.Hops[i]
		out.Hops = append(out.Hops, apitype.MessageHop{Name: h.Name, Result: string(h.Result), RetCode: int(h.Code), Reason: h.Reason,
			Detail: h.Detail, Microseconds: h.Took.Microseconds()})
	}
	return out
}

func (s *server) TailMessages(ctx context.Context, r apitype.TailMessagesRequestObject) (apitype.TailMessagesResponseObject, error) {
	p := r.Params
	f, err := messageFilter(p.Product, p.Device, p.Application, p.Kind, p.Result, p.MessageID, p.Contains)
	if err != nil {
		return nil, err
	}
	cursor, err := messageCursor("Last-Event-ID", deref(p.LastEventID))
	if err != nil {
		return nil, err
	}
	switch {
	case cursor != nil:
	case p.Since != nil:
		f.From, cursor = *p.Since, messagelog.Cursor{}
	default:
		cursor = s.Messages.End()
	}
	return &messageStream{server: s, ctx: ctx, filter: f, cursor: cursor, visible: s.messageVisible(ctx)}, nil
}

// messageStream is an answer that lasts until the client goes or the hub stops. It asks the log again and again: so a client that comes
// back misses nothing, and a node that was away is heard as soon as it is back.
type messageStream struct {
	*server
	ctx     context.Context
	filter  messagelog.Filter
	cursor  messagelog.Cursor
	visible func(*messagelog.Record) bool
	missing []string
}

const (
	// tailEvery is how often the log is asked while nothing comes, tailPage how much at once.
	tailEvery = 500 * time.Millisecond
	tailPage  = 200
)

// VisitTailMessagesResponse writes the stream.
func (e *messageStream) VisitTailMessagesResponse(w http.ResponseWriter) error {
	streamHead(w)
	err := send(w, []byte(": connected\n\n"))
	for beat := time.Now(); err == nil; {
		var page messagelog.Page
		if page, err = e.Messages.List(e.ctx, e.filter, e.cursor, tailPage, false); err != nil {
			break
		}
		if len(page.Records) == 0 && time.Since(beat) > e.cfg.Heartbeat {
			err, beat = send(w, []byte(":\n\n")), time.Now()
		}
		if err == nil {
			err = e.write(w, &page)
		}
		if err != nil || page.More {
			continue
		}
		select {
		case <-e.ctx.Done():
			err = e.ctx.Err()
		case <-e.Feed.Done():
			e.metrics.streams.WithLabelValues("stopped").Inc()
			return nil
		case <-time.After(tailEvery):
		}
	}
	e.metrics.streams.WithLabelValues("gone").Inc()
	return nil // there is nobody to tell
}

// write sends the records of a page. The id of each is the place behind it in the logs of all nodes.
func (e *messageStream) write(w http.ResponseWriter, page *messagelog.Page) error {
	if !slices.Equal(page.Missing, e.missing) {
		e.missing = page.Missing
		data, err := json.Marshal(map[string][]string{"missing": append([]string{}, page.Missing...)})
		if err != nil {
			return err
		}
		if err := send(w, fmt.Appendf(nil, "event: missing\ndata: %s\n\n", data)); err != nil {
			return err
		}
	}
	at := maps.Clone(e.cursor)
	var b []byte
	for i := range page.Records {
		r := &page.Records[i]
		at[r.Node] = r.Logged.UnixMicro()
		if !e.visible(r) {
			continue
		}
		data, err := json.Marshal(messageOf(r))
		if err != nil {
			return err
		}
		b = fmt.Appendf(b, "id: %s\nevent: message\ndata: %s\n\n", at, data)
	}
	e.cursor = page.Next
	if b == nil {
		return nil
	}
	return send(w, b)
}
