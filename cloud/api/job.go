package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/fleet"
	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/registry"
)

// Jobs is what the API needs of long work.
type Jobs interface {
	Create(ctx context.Context, n job.NewJob) (*job.Job, error)
	Get(ctx context.Context, id string) (*job.Job, error)
	List(ctx context.Context, f job.Filter) ([]*job.Job, error)
	Cancel(ctx context.Context, id string) (*job.Job, error)
	Result(ctx context.Context, id string, secrets bool) (io.Reader, error)
}

func (s *server) ListJobs(ctx context.Context, r apitype.ListJobsRequestObject) (apitype.ListJobsResponseObject, error) {
	page, err := pageOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	if page.Limit == 0 {
		page.Limit = registry.DefaultLimit
	}
	f := job.Filter{Project: account.From(ctx).Within(), Before: page.Cursor, Limit: page.Limit}
	if r.Params.Kind != nil {
		f.Kind = *r.Params.Kind
	}
	if r.Params.State != nil {
		state, ok := jobState(*r.Params.State)
		if !ok {
			return nil, invalid("state", "state: there is no %q", string(*r.Params.State))
		}
		f.State = &state
	}
	list, err := s.Jobs.List(ctx, f)
	if err != nil {
		return nil, err
	}
	out := apitype.ListJobs200JSONResponse{Items: make([]apitype.Job, 0, len(list))}
	for _, j := range list {
		if mayJob(ctx, j, account.JobRead) {
			out.Items = append(out.Items, jobOf(j))
		}
	}
	if len(list) == page.Limit {
		out.NextCursor = list[len(list)-1].ID
	}
	return out, nil
}

func jobState(name apitype.JobState) (job.State, bool) {
	for state := job.Queued; state <= job.Cancelled; state++ {
		if state.String() == string(name) {
			return state, true
		}
	}
	return 0, false
}

// mayJob tells whether the caller has a permission on a job: it is of their project, or they named none, and, for a caller of
// some products only, of one of those.
func mayJob(ctx context.Context, j *job.Job, need account.Permission) bool {
	p := account.From(ctx)
	return p != nil && p.Sees(j.Project, j.Product, need)
}

// job is the job with that id, if the caller has a permission on it.
func (s *server) job(ctx context.Context, id string, need account.Permission) (*job.Job, error) {
	j, err := s.Jobs.Get(ctx, id)
	if err == nil && !mayJob(ctx, j, need) {
		return nil, job.ErrNotFound
	}
	if err == nil {
		requestOf(ctx).place = j.Project
	}
	return j, err
}

func (s *server) GetJob(ctx context.Context, r apitype.GetJobRequestObject) (apitype.GetJobResponseObject, error) {
	j, err := s.job(ctx, r.JobID, account.JobRead)
	if err != nil {
		return nil, err
	}
	return apitype.GetJob200JSONResponse(jobOf(j)), nil
}

func (s *server) CancelJob(ctx context.Context, r apitype.CancelJobRequestObject) (apitype.CancelJobResponseObject, error) {
	if _, err := s.job(ctx, r.JobID, account.JobWrite); err != nil {
		return nil, err
	}
	j, err := s.Jobs.Cancel(ctx, r.JobID)
	if err != nil {
		return nil, err
	}
	return apitype.CancelJob202JSONResponse(jobOf(j)), nil
}

func (s *server) GetJobResult(ctx context.Context, r apitype.GetJobResultRequestObject) (apitype.GetJobResultResponseObject, error) {
	j, err := s.job(ctx, r.JobID, account.JobRead)
	if err != nil {
		return nil, err
	}
	body, err := s.Jobs.Result(ctx, j.ID, mayJob(ctx, j, account.DeviceSecret))
	if err != nil {
		return nil, err
	}
	return apitype.GetJobResult200TextCsvResponse{Body: body}, nil
}

func (s *server) ImportDevices(ctx context.Context, r apitype.ImportDevicesRequestObject) (apitype.ImportDevicesResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	body := bufio.NewReaderSize(r.Body, fleet.HeadSize)
	head, err := body.Peek(fleet.HeadSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, uploadError(err)
	}
	if err := fleet.CheckHead(head); err != nil {
		return nil, err
	}
	n := newJob(ctx, fleet.KindImport, r.ProductSN, r.Params.DryRun)
	n.Input = body
	j, err := s.Jobs.Create(ctx, n)
	if err != nil {
		return nil, uploadError(err)
	}
	return apitype.ImportDevices202JSONResponse(jobOf(j)), nil
}

// uploadError tells a body that is too long from one that broke off.
func uploadError(err error) error {
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fmt.Errorf("%w (more than %d bytes)", job.ErrInputTooLarge, e.Limit)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return invalid("body", "the upload broke off")
	}
	return err
}

func (s *server) BulkDevices(ctx context.Context, r apitype.BulkDevicesRequestObject) (apitype.BulkDevicesResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	out, err := s.bulk(ctx, r.ProductSN, r.Params.DryRun, r.Body)
	return apitype.BulkDevices202JSONResponse(out), err
}

func (s *server) BulkFleet(ctx context.Context, r apitype.BulkFleetRequestObject) (apitype.BulkFleetResponseObject, error) {
	out, err := s.bulk(ctx, "", r.Params.DryRun, r.Body)
	return apitype.BulkFleet202JSONResponse(out), err
}

// bulk starts a bulk action in a product, or in the whole of the caller's project.
func (s *server) bulk(ctx context.Context, product string, dryRun *bool, b *apitype.DeviceBulk) (apitype.Job, error) {
	n := newJob(ctx, fleet.KindBulk, product, dryRun)
	var err error
	n.Spec, err = fleet.Bulk{Action: registry.Action(b.Action), State: string(b.State), Filter: b.Filter, Tags: b.Tags, DropTags: b.DropTags,
		Group: b.Group}.Spec()
	if err != nil {
		return apitype.Job{}, err
	}
	j, err := s.Jobs.Create(ctx, n)
	if err != nil {
		return apitype.Job{}, err
	}
	return jobOf(j), nil
}

// newJob is a job of the caller's.
func newJob(ctx context.Context, kind, product string, dryRun *bool) job.NewJob {
	return job.NewJob{Kind: kind, Project: account.From(ctx).Project, Product: product, Owner: callerOf(ctx), DryRun: dryRun != nil && *dryRun}
}

// callerOf names who makes a request: key:<id> or user:<id>.
func callerOf(ctx context.Context) string {
	p := account.From(ctx)
	if p == nil {
		return ""
	}
	return string(p.Kind) + ":" + p.ID
}

func jobOf(j *job.Job) apitype.Job {
	out := apitype.Job{ID: j.ID, Kind: j.Kind, Project: j.Project, State: apitype.JobState(j.State.String()), DryRun: j.DryRun, ProductSN: j.Product,
		Succeeded: j.Succeeded, Failed: j.Failed, Errors: j.Errors, Error: j.Error, Cancelling: j.Cancelling && !j.State.Ended(),
		RatePerSecond: tenths(j.Rate()), Owner: j.Owner, Node: j.Node, CreatedAt: j.Created, StartedAt: j.Started, UpdatedAt: j.Updated, FinishedAt: j.Finished}
	if len(j.Spec) > 0 {
		out.Spec = apitype.JSONValue(j.Spec)
	}
	if j.Total >= 0 {
		out.Total = &j.Total
	}
	if rest, ok := j.Remaining(); ok {
		seconds := rest.Seconds()
		out.RemainingSeconds = &seconds
	}
	return out
}

// tenths rounds to what is worth reading.
func tenths(f float64) float64 { return math.Round(f*10) / 10 }

// jobPoll is how often a job that is followed is looked at: it may be worked on by another node.
const jobPoll = 500 * time.Millisecond

func (s *server) StreamJob(ctx context.Context, r apitype.StreamJobRequestObject) (apitype.StreamJobResponseObject, error) {
	j, err := s.job(ctx, r.JobID, account.JobRead)
	if err != nil {
		return nil, err
	}
	return &jobStream{ctx: ctx, server: s, job: j}, nil
}

// jobStream is an answer that lasts until the job ends, the client goes or the hub stops.
type jobStream struct {
	ctx    context.Context
	server *server
	job    *job.Job
}

// VisitStreamJobResponse follows the job.
func (e *jobStream) VisitStreamJobResponse(w http.ResponseWriter) error {
	streamHead(w)
	poll := time.NewTicker(jobPoll)
	defer poll.Stop()
	last := time.Now()
	for j, shown := e.job, (*job.Job)(nil); ; {
		var err error
		switch {
		case shown == nil || !j.Updated.Equal(shown.Updated) || j.State != shown.State:
			data, merr := json.Marshal(jobOf(j))
			if merr != nil {
				return merr
			}
			err = send(w, fmt.Appendf(nil, "event: job\ndata: %s\n\n", data))
			shown, last = j, time.Now()
		case time.Since(last) >= e.server.cfg.Heartbeat:
			err, last = send(w, []byte(":\n\n")), time.Now()
		}
		if err != nil || j.State.Ended() {
			return nil // the client has gone, or there is no more to tell
		}
		select {
		case <-e.ctx.Done():
			return nil
		case <-e.server.Feed.Done():
			return nil
		case <-poll.C:
		}
		if next, err := e.server.Jobs.Get(e.ctx, j.ID); err == nil {
			j = next
		} else if errors.Is(err, job.ErrNotFound) {
			return nil // it was kept long enough
		}
	}
}
