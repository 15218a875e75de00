package api

import (
	"context"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/fleet"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
	"github.com/hawser-iot/hawser/protocol/ident"
)

func (s *server) CallCommand(ctx context.Context, r apitype.CallCommandRequestObject) (apitype.CallCommandResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	wait, err := waitOf(r.Body.TimeoutSeconds)
	if err != nil {
		return nil, err
	}
	queue, err := durationOf("queueSeconds", r.Body.QueueSeconds, thingmodel.MaxQueueTime)
	if err != nil {
		return nil, err
	}
	res, err := s.Things.Command(ctx, d.Identity, thingmodel.Command{Identifier: r.Body.Identifier, Input: r.Body.Input,
		Async: r.Body.Async, Timeout: wait, Queue: queue, By: callerOf(ctx)})
	if err != nil {
		return nil, err
	}
	return apitype.CallCommand200JSONResponse{RequestID: res.RequestID, Identifier: r.Body.Identifier, RetCode: int(res.Code),
		Output: res.Output, Pending: res.Status == thingmodel.StatusSent || res.Status == thingmodel.StatusQueued,
		Status: apitype.CommandStatus(res.Status)}, nil
}

// durationOf reads a number of seconds, 0 for none.
func durationOf(field string, seconds float64, most time.Duration) (time.Duration, error) {
	if !(seconds >= 0 && seconds <= most.Seconds()) {
		return 0, invalid(field, "%s: must be 0 to %v", field, most.Seconds())
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// queryOf reads the parameters that lists of records have.
func queryOf(limit *int, cursor *string, since, until *time.Time) (thingmodel.Query, error) {
	q := thingmodel.Query{From: valueOf(since), To: valueOf(until)}
	page, err := pageOf(limit, nil)
	if err != nil {
		return q, err
	}
	if q.Limit = page.Limit; q.Limit == 0 {
		q.Limit = registry.DefaultLimit
	}
	q.Before, err = numberCursor(cursor)
	return q, err
}

func (s *server) ListCommands(ctx context.Context, r apitype.ListCommandsRequestObject) (apitype.ListCommandsResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	q, err := queryOf(r.Params.Limit, r.Params.Cursor, r.Params.Since, r.Params.Until)
	if err != nil {
		return nil, err
	}
	q.Identifier, q.State, q.Job = valueOf(r.Params.Identifier), string(valueOf(r.Params.Status)), valueOf(r.Params.Job)
	list, err := s.Things.Commands(ctx, d.Identity, q)
	if err != nil {
		return nil, err
	}
	out := apitype.ListCommands200JSONResponse{Items: make([]apitype.CommandRecord, len(list))}
	for i := range list {
		out.Items[i] = commandOf(list[i])
	}
	if len(list) == q.Limit {
		out.NextCursor = numberCursorOf(list[len(list)-1].ID)
	}
	return out, nil
}

func commandOf(r *thingmodel.Record) apitype.CommandRecord {
	return apitype.CommandRecord{ID: strconv.FormatInt(r.ID, 10), RequestID: r.RequestID, Identifier: r.Identifier, Input: r.Input,
		Output: r.Output, RetCode: int(r.Code), Message: r.Message, Status: apitype.CommandStatus(r.Status), Caller: r.By, JobID: r.Job,
		Async: r.Async, Late: r.Late, CreatedAt: r.Created, SentAt: r.Sent, DoneAt: r.Done, ExpiresAt: r.Expires,
		TimeoutSeconds: r.Timeout.Seconds(), DurationMs: r.Duration().Milliseconds()}
}

func (s *server) GetCommand(ctx context.Context, r apitype.GetCommandRequestObject) (apitype.GetCommandResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	rec, err := s.Things.Record(ctx, d.Identity, r.RequestID)
	if err != nil {
		return nil, err
	}
	return apitype.GetCommand200JSONResponse(commandOf(rec)), nil
}

func (s *server) CancelCommand(ctx context.Context, r apitype.CancelCommandRequestObject) (apitype.CancelCommandResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	rec, err := s.Things.CancelCommand(ctx, d.Identity, r.RequestID)
	if err != nil {
		return nil, err
	}
	return apitype.CancelCommand200JSONResponse(commandOf(rec)), nil
}

func (s *server) CommandDevices(ctx context.Context, r apitype.CommandDevicesRequestObject) (apitype.CommandDevicesResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	out, err := s.batch(ctx, r.ProductSN, r.Params.DryRun, r.Body)
	return apitype.CommandDevices202JSONResponse(out), err
}

func (s *server) CommandFleet(ctx context.Context, r apitype.CommandFleetRequestObject) (apitype.CommandFleetResponseObject, error) {
	out, err := s.batch(ctx, "", r.Params.DryRun, r.Body)
	return apitype.CommandFleet202JSONResponse(out), err
}

// defaultBatchQueue is how long a batch's commands wait when nothing else is said.
const defaultBatchQueue = time.Hour

// batch calls a command in a product, or in the whole of the caller's project.
func (s *server) batch(ctx context.Context, product string, dryRun *bool, b *apitype.CommandBatch) (apitype.Job, error) {
	timeout, err := durationOf("timeoutSeconds", b.TimeoutSeconds, thingmodel.MaxTimeout)
	if err != nil {
		return apitype.Job{}, err
	}
	queue, err := durationOf("queueSeconds", b.QueueSeconds, thingmodel.MaxQueueTime)
	if err != nil {
		return apitype.Job{}, err
	}
	if queue == 0 {
		queue = defaultBatchQueue
	}
	n := newJob(ctx, fleet.KindCommand, product, dryRun)
	n.Spec, err = fleet.Call{Identifier: b.Identifier, Input: b.Input, Timeout: timeout.Seconds(), Queue: queue.Seconds(), By: callerOf(ctx), State: string(b.State),
		Filter: b.Filter}.Spec()
	if err != nil {
		return apitype.Job{}, err
	}
	j, err := s.Jobs.Create(ctx, n)
	if err != nil {
		return apitype.Job{}, err
	}
	return jobOf(j), nil
}

func (s *server) ListEvents(ctx context.Context, r apitype.ListEventsRequestObject) (apitype.ListEventsResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	out, err := s.events(ctx, d.Identity, apitype.ListProductEventsParams(r.Params))
	return apitype.ListEvents200JSONResponse(out), err
}

func (s *server) ListProductEvents(ctx context.Context, r apitype.ListProductEventsRequestObject) (apitype.ListProductEventsResponseObject, error) {
	out, err := s.events(ctx, ident.Device{Product: r.ProductSN}, r.Params)
	return apitype.ListProductEvents200JSONResponse(out), err
}

// events is a page of the events of a device, or of a product.
func (s *server) events(ctx context.Context, of ident.Device, p apitype.ListProductEventsParams) (out apitype.EventList, err error) {
	q, err := queryOf(p.Limit, p.Cursor, p.Since, p.Until)
	if err != nil {
		return out, err
	}
	q.Identifier, q.State = valueOf(p.Identifier), string(valueOf(p.Type))
	list, err := s.Things.Events(ctx, of, q)
	if err != nil {
		return out, err
	}
	out.Items = make([]apitype.EventRecord, len(list))
	for i, e := range list {
		out.Items[i] = apitype.EventRecord{ID: strconv.FormatInt(e.ID, 10), DeviceSN: e.Device, Identifier: e.Identifier, Type: apitype.EventSeverity(e.Type),
			Output: e.Output, Time: e.At, ReceivedAt: e.Received}
	}
	if len(list) == q.Limit {
		out.NextCursor = numberCursorOf(list[len(list)-1].ID)
	}
	return out, nil
}
