package thingmodel

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// The states of a command.
const (
	StatusQueued    = "queued"    // waits for its device
	StatusSent      = "sent"      // on its way, no answer yet
	StatusSucceeded = "succeeded" // the device answered with RetCode 0
	StatusFailed    = "failed"    // the device answered with another, or badly, or not in time, or was not there: Code tells
	StatusExpired   = "expired"   // its device did not come in time
	StatusCancelled = "cancelled" // somebody took it back while it waited
)

var statuses = []string{StatusQueued, StatusSent, StatusSucceeded, StatusFailed, StatusExpired, StatusCancelled}

// Record is what is kept of one call.
type Record struct {
	ID            int64
	RequestID     string
	Identifier    string
	Input, Output json.RawMessage // Output is nil when there is none
	Code          message.Code    // the device's RetCode, or the hub's for what kept it from answering
	Message       string          // what the device, or the hub, says beside it
	Status        string
	By            string // who called
	Job           string // the job that called, "" for none
	Async, Late   bool   // Late: the answer came after its time
	Timeout       time.Duration
	Created       time.Time
	Sent, Done    time.Time // zero while it has not been
	Expires       time.Time // until when it may wait; zero: it may not

	device int64
	dev    ident.Device
	due    time.Time
}

// Duration is how long the device took, 0 while there is no answer.
func (r *Record) Duration() time.Duration {
	if r.Sent.IsZero() || r.Done.IsZero() {
		return 0
	}
	return r.Done.Sub(r.Sent)
}

const recordColumns = `id, device, request_id, identifier, input, output, code, message, status, caller, job, async, late, timeout,
	created_at, sent_at, done_at, expires_at, due_at`

var (
	insertRecord = store.NewStmt(`INSERT INTO command_log (` + recordColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	// failRecord ends a call without an answer; the factor is 0 for one that was not sent at all.
	failRecord = store.NewStmt(`UPDATE command_log SET code = ?, message = ?, status = 'failed', done_at = ?, sent_at = sent_at * ? WHERE id = ? AND status = 'sent'`)
	// endRecord ends a call with the device's answer, be it late. Only the first answer counts.
	endRecord = store.NewStmt(`UPDATE command_log SET output = ?, code = ?, message = ?, status = ?, done_at = ?, answered = 1,
		late = CASE WHEN status = 'failed' THEN 1 ELSE 0 END
		WHERE device = ? AND request_id = ? AND (status = 'sent' OR status = 'failed' AND answered = 0)`)
)

// newRecord checks a call and numbers it.
func (t *Things) newRecord(d *registry.Device, model *thing.Model, c *Command) (*Record, error) {
	timeout, err := checkTimeout(c.Timeout)
	if err != nil {
		return nil, err
	}
	if c.Queue < 0 || c.Queue > MaxQueueTime {
		return nil, &ErrInvalid{"queue", "must be between 0 and " + MaxQueueTime.String()}
	}
	input, err := checkInput(model, *c)
	if err != nil {
		return nil, err
	}
	r := &Record{ID: int64(t.IDs.Next()), RequestID: t.Caller.NextRequestID(), Identifier: c.Identifier, Input: input, By: c.By, Async: c.Async,
		Timeout: timeout, Created: t.now(), device: d.ID, dev: d.Identity, Status: StatusQueued}
	if c.Queue > 0 {
		r.Expires = r.Created.Add(c.Queue)
		r.due = r.Expires
	}
	return r, nil
}

// send makes it one that is on its way.
func (r *Record) send(now time.Time) {
	r.Status, r.Sent, r.due = StatusSent, now, now.Add(r.Timeout)
}

func (r *Record) insert() store.Op { return insertRecord.Op(r.values()...) }

func (r *Record) values() []any {
	return []any{r.ID, r.device, r.RequestID, r.Identifier, string(r.Input), string(r.Output), int64(r.Code), r.Message, r.Status, r.By, r.Job,
		flag(r.Async), flag(r.Late), r.Timeout.Milliseconds(), millis(r.Created), millis(r.Sent), millis(r.Done), millis(r.Expires), millis(r.due)}
}

// scanner is a row.
type scanner interface{ Scan(dest ...any) error }

func scanRecord(row scanner, more ...any) (*Record, error) {
	var (
		r                                        Record
		input, output                            string
		code, async, late, timeout               int64
		created, sent, done, expires, due, ofDev int64
	)
	err := row.Scan(append([]any{&r.ID, &ofDev, &r.RequestID, &r.Identifier, &input, &output, &code, &r.Message, &r.Status, &r.By, &r.Job,
		&async, &late, &timeout, &created, &sent, &done, &expires, &due}, more...)...)
	if err != nil {
		return nil, err
	}
	r.device, r.Input, r.Output, r.Code = ofDev, raw(input), raw(output), message.Code(code)
	r.Async, r.Late, r.Timeout = async != 0, late != 0, time.Duration(timeout)*time.Millisecond
	r.Created, r.Sent, r.Done, r.Expires, r.due = fromMillis(created), fromMillis(sent), fromMillis(done), fromMillis(expires), fromMillis(due)
	return &r, nil
}

// collect reads and closes rows.
func collect[T any](rows *store.Rows, scan func(scanner) (T, error)) ([]T, error) {
	defer func() { _ = rows.Close() }() // Err below tells
	var list []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// millis is a time as it is stored: Unix milliseconds, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// plainText is what a record says of an error.
func plainText(err error) string {
	for _, known := range []error{ErrOffline, ErrNotSubscribed, ErrTimeout, ErrTooLargeForDevice} {
		if errors.Is(err, known) {
			err = known // what the way to the device says beside it is for logs
		}
	}
	return strings.TrimPrefix(err.Error(), "thingmodel: ")
}

// Query says which records of a device are wanted. The zero Query is the newest ones.
type Query struct {
	Identifier string    // "" is any
	State      string    // of a command one of the Status…, of an event its type; "" is any
	Job        string    // of a command: the job that called
	From, To   time.Time // from From to before To, by the hub's clock
	Before     int64     // older than the record with this id; 0: from the newest
	Limit      int       // 1 to 1000
}

// where is the condition and its arguments; state names the column of State.
func (q *Query) where(device int64, state string) (string, []any) {
	return q.about(`device = ?`, device, state)
}

// about is where for what a condition with one argument chooses.
func (q *Query) about(text string, subject any, state string) (string, []any) {
	before := q.Before
	if before <= 0 {
		before = math.MaxInt64
	}
	text, args := text+` AND id < ?`, []any{subject, before}
	and := func(condition string, value any) {
		text, args = text+" AND "+condition, append(args, value)
	}
	if q.Identifier != "" {
		and(`identifier = ?`, q.Identifier)
	}
	if q.State != "" {
		and(state+` = ?`, q.State)
	}
	if q.Job != "" {
		and(`job = ?`, q.Job)
	}
	if !q.From.IsZero() {
		and(`created_at >= ?`, q.From.UnixMilli())
	}
	if !q.To.IsZero() {
		and(`created_at < ?`, q.To.UnixMilli())
	}
	return text + ` ORDER BY id DESC LIMIT ?`, append(args, min(max(q.Limit, 1), 1000))
}

// Commands returns what q asks for of the calls of a device, the newest first.
func (t *Things) Commands(ctx context.Context, dev ident.Device, q Query) ([]*Record, error) {
	if q.State != "" && !slices.Contains(statuses, q.State) {
		return nil, &ErrInvalid{"status", "must be " + strings.Join(statuses, ", ")}
	}
	d, err := t.Registry.Device(ctx, dev)
	if err != nil {
		return nil, err
	}
	where, args := q.where(d.ID, "status")
	rows, err := t.Store.Query(ctx, `SELECT `+recordColumns+` FROM command_log WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("thingmodel: read commands: %w", err)
	}
	list, err := collect(rows, func(row scanner) (*Record, error) { return scanRecord(row) })
	if err != nil {
		return nil, fmt.Errorf("thingmodel: read commands: %w", err)
	}
	return list, nil
}

// Record returns one call of a device, or ErrNoRecord.
func (t *Things) Record(ctx context.Context, dev ident.Device, requestID string) (*Record, error) {
	d, err := t.Registry.Device(ctx, dev)
	if err != nil {
		return nil, err
	}
	r, err := scanRecord(t.Store.QueryRow(ctx, `SELECT `+recordColumns+` FROM command_log WHERE device = ? AND request_id = ?`, d.ID, requestID))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNoRecord
	}
	if err != nil {
		return nil, fmt.Errorf("thingmodel: read command %s of %s: %w", requestID, dev, err)
	}
	r.dev = dev
	return r, nil
}

// EventRecord is an event that a device posted.
type EventRecord struct {
	ID         int64
	Device     string // its SN
	Identifier string
	Type       string          // notify, warning or error, as the definition had it
	Output     json.RawMessage // nil when there was none
	At         time.Time       // by the device's clock if it told
	Received   time.Time
}

var insertEvent = store.NewStmt(`INSERT INTO event_record (id, device, identifier, type, output, at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`)

// eventOp keeps an event.
func eventOp(id message.ID, device int64, identifier, kind string, output codec.Value, at, received int64) store.Op {
	var text string
	if output.Kind() == codec.Object {
		text = string(output.AppendJSON(nil))
	}
	return insertEvent.Op(int64(id), device, strings.Clone(identifier), kind, text, at, received)
}

// Events returns what q asks for of the events of a device, or of all devices of a product when dev has no SN, the newest first.
func (t *Things) Events(ctx context.Context, dev ident.Device, q Query) ([]EventRecord, error) {
	switch q.State {
	case "", thing.EventNotify, thing.EventWarning, thing.EventError:
	default:
		return nil, &ErrInvalid{"type", "must be notify, warning or error"}
	}
	where, args, err := t.whose(ctx, dev, q)
	if err != nil {
		return nil, err
	}
	rows, err := t.Store.Query(ctx, `SELECT id, (SELECT sn FROM device WHERE device.id = event_record.device), identifier, type, output, at, created_at
		FROM event_record WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("thingmodel: read events: %w", err)
	}
	list, err := collect(rows, func(row scanner) (e EventRecord, err error) {
		var output string
		var at, received int64
		err = row.Scan(&e.ID, &e.Device, &e.Identifier, &e.Type, &output, &at, &received)
		e.Output, e.At, e.Received = raw(output), fromMillis(at), fromMillis(received)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("thingmodel: read events: %w", err)
	}
	return list, nil
}

// whose is the condition for a device's events, or a product's.
func (t *Things) whose(ctx context.Context, dev ident.Device, q Query) (where string, args []any, err error) {
	if dev.SN == "" {
		if _, err := t.Registry.Product(ctx, dev.Product); err != nil {
			return "", nil, err
		}
		where, args = q.about(`EXISTS (SELECT 1 FROM device WHERE device.id = event_record.device AND device.product = ?)`, dev.Product, "type")
		return where, args, nil
	}
	d, err := t.Registry.Device(ctx, dev)
	if err != nil {
		return "", nil, err
	}
	where, args = q.where(d.ID, "type")
	return where, args, nil
}
