package job

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Result writes the outcome of each row as CSV, a heading first. The columns that hold secrets are left out unless
// secrets is set. A job that has not ended is ErrNotFinished.
func (j *Jobs) Result(ctx context.Context, id string, secrets bool) (io.Reader, error) {
	one, err := j.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if !one.State.Ended() {
		return nil, ErrNotFinished
	}
	kind := j.Kinds[one.Kind]
	if kind == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownKind, one.Kind)
	}
	r := &result{pieces: pieces{ctx: ctx, jobs: j, column: store.JobResult, job: id}}
	head := []string{"result"}
	r.keep = []bool{true}
	for _, c := range kind.Columns() {
		keep := secrets || !c.Secret
		r.keep = append(r.keep, keep)
		r.cut = r.cut || !keep
		if keep {
			head = append(head, c.Name)
		}
	}
	r.out.WriteString(strings.Join(head, ",") + "\n")
	return r, nil
}

// result turns the stored pieces into the file.
type result struct {
	pieces
	keep []bool // by column
	cut  bool   // some are not kept
	out  bytes.Buffer
}

// Read is io.Reader's.
func (r *result) Read(b []byte) (int, error) {
	for r.out.Len() == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
		if err := r.convert(r.rest); err != nil {
			return 0, fmt.Errorf("job: read the result of %s: %w", r.job, err)
		}
	}
	return r.out.Read(b)
}

// convert writes a piece with "ok" for success, without the columns that are not kept.
func (r *result) convert(piece []byte) error {
	in, out := csv.NewReader(bytes.NewReader(piece)), csv.NewWriter(&r.out)
	in.ReuseRecord, in.FieldsPerRecord = true, -1
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			out.Flush()
			return out.Error()
		}
		if err != nil {
			return err
		}
		if record[0] == "" {
			record[0] = "ok"
		}
		if r.cut {
			n := 0
			for i, cell := range record {
				if i < len(r.keep) && r.keep[i] {
					record[n] = cell
					n++
				}
			}
			record = record[:n]
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
}
