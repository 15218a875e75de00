package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// MaxRows is how many rows an import may have.
const MaxRows = 1_000_000

// HeadSize is how much of a file CheckHead wants at most.
const HeadSize = maxRecord

// ErrFile says what is wrong with a file as a whole.
type ErrFile struct{ Reason string }

func (e *ErrFile) Error() string { return "fleet: " + e.Reason }

// heading says which column of a file holds what; -1 is a column that is not there.
type heading struct {
	columns                       int
	sn, name, description, secret int
	tags                          map[int]string // the columns tag.KEY by number
}

// CheckHead looks at the beginning of a file, so that one that can't be imported at all is refused before a job is made
// of it. The error is an *ErrFile.
func CheckHead(head []byte) error {
	if _, err := readHeading(newTable(bytes.NewReader(head))); err != nil {
		return err
	}
	return nil
}

func readHeading(t *table) (heading, error) {
	h := heading{sn: -1, name: -1, description: -1, secret: -1, tags: make(map[int]string)}
	rec, err := t.next()
	switch {
	case errors.Is(err, io.EOF):
		return h, &ErrFile{"the file is empty; its first row must name the columns"}
	case errors.Is(err, errUTF16):
		return h, &ErrFile{err.Error()}
	case err != nil:
		return h, err
	case rec.err != nil:
		return h, &ErrFile{"the first row " + rec.err.reason}
	}
	h.columns = len(rec.values)
	seen := make(map[string]bool, len(rec.values))
	for i, name := range rec.values {
		name = strings.TrimSpace(name)
		at := map[string]*int{"devicesn": &h.sn, "name": &h.name, "description": &h.description, "secret": &h.secret, "devicesecret": &h.secret}[strings.ToLower(name)]
		tag, isTag := strings.CutPrefix(name, "tag.")
		switch {
		case isTag && filter.GoodTag(tag):
			h.tags[i] = tag
		case at == nil:
			return h, &ErrFile{fmt.Sprintf("there is no column %q; there are deviceSN, name, description, secret and tag.NAME, all optional", name)}
		default:
			*at = i
			name = strings.ToLower(name)
		}
		if seen[name] {
			return h, &ErrFile{fmt.Sprintf("column %q is there twice", name)}
		}
		seen[name] = true
	}
	return h, nil
}

// importKind makes devices of the rows of a CSV file.
type importKind struct{ *Fleet }

// Columns are job.Kind's.
func (importKind) Columns() []job.Column {
	return []job.Column{{Name: "line"}, {Name: "deviceSN"}, {Name: "deviceSecret", Secret: true}, {Name: "reason"}}
}

// Open is job.Kind's. Place is how many rows were read. All before it are read again, because what their SNs are decides
// about those behind.
func (k importKind) Open(ctx context.Context, t *job.Task) (job.Runner, error) {
	r := &importRun{importKind: k, task: t, total: t.Total, seen: make(map[string]int)}
	if r.total < 0 {
		n, err := countRows(newTable(t.Input(ctx)))
		if err != nil {
			return nil, err
		}
		if n > MaxRows {
			return nil, &job.Fatal{Reason: fmt.Sprintf("the file has %d rows, more than %d: send it in parts", n, MaxRows)}
		}
		r.total = int64(n)
	}
	r.table = newTable(t.Input(ctx))
	var err error
	if r.heading, err = readHeading(r.table); err != nil {
		if file, ok := errors.AsType[*ErrFile](err); ok {
			return nil, &job.Fatal{Reason: file.Reason}
		}
		return nil, err
	}
	if t.Place == "" {
		return r, nil
	}
	done, err := strconv.Atoi(t.Place)
	if err != nil {
		return nil, fmt.Errorf("fleet: place of an import: %w", err)
	}
	for r.read < done {
		if _, err := r.row(); err != nil {
			return nil, fmt.Errorf("fleet: read what was imported before: %w", err)
		}
	}
	return r, nil
}

// countRows counts the rows behind the heading.
func countRows(t *table) (n int, err error) {
	for n = -1; ; n++ {
		if _, err := t.next(); errors.Is(err, io.EOF) {
			return max(n, 0), nil
		} else if err != nil && !errors.Is(err, errUTF16) {
			return 0, err
		} else if err != nil {
			return 0, nil // what reads the heading tells
		}
	}
}

// importRun is one import in hand.
type importRun struct {
	importKind
	heading
	task  *job.Task
	table *table
	total int64
	read  int            // rows that were read
	seen  map[string]int // the line of each SN of the file
}

// importRow is a row that was read: a device to make, or why not.
type importRow struct {
	line   int
	device registry.NewDevice
	err    *rowError
}

// row reads the next row and checks all that the file alone can tell.
func (r *importRun) row() (importRow, error) {
	rec, err := r.table.next()
	if err != nil {
		return importRow{}, err
	}
	r.read++
	row := importRow{line: rec.line, err: rec.err}
	switch {
	case row.err != nil:
		return row, nil
	case len(rec.values) != r.columns:
		row.err = &rowError{"wrong_columns", fmt.Sprintf("has %d values, the first row names %d columns", len(rec.values), r.columns)}
		return row, nil
	}
	row.device = registry.NewDevice{Product: r.task.Product, SN: strings.TrimSpace(at(rec, r.sn)), Name: at(rec, r.name),
		Description: at(rec, r.description), Secret: credential.Secret(strings.TrimSpace(at(rec, r.secret))), Tags: r.tagsOf(rec)}
	if err := registry.CheckDevice(row.device); err != nil {
		row.err = &rowError{"invalid", err.Error()}
		if e, ok := errors.AsType[*registry.ErrInvalid](err); ok {
			field, _, _ := strings.Cut(e.Field, ".") // tags.NAME: the codes are few
			row.err = &rowError{"invalid_" + field, e.Field + " " + e.Reason}
		}
		return row, nil
	}
	if row.device.SN == "" {
		row.device.SN = ident.NewDeviceSN()
		return row, nil
	}
	if before, twice := r.seen[row.device.SN]; twice {
		row.err = &rowError{"duplicate_in_file", fmt.Sprintf("deviceSN is that of line %d", before)}
		return row, nil
	}
	r.seen[row.device.SN] = rec.line
	return row, nil
}

// tagsOf are the tags of a row; an empty value is no tag.
func (h *heading) tagsOf(rec record) registry.Tags {
	var tags registry.Tags
	for i, name := range h.tags {
		if rec.values[i] == "" {
			continue
		}
		if tags == nil {
			tags = make(registry.Tags, len(h.tags))
		}
		tags[name] = rec.values[i]
	}
	return tags
}

func at(rec record, column int) string {
	if column < 0 {
		return ""
	}
	return rec.values[column]
}

// Step is job.Runner's.
func (r *importRun) Step(ctx context.Context, save job.Save) error {
	var rows []importRow
	var fresh []registry.NewDevice
	for len(rows) < perStep {
		row, err := r.row()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		rows = append(rows, row)
		if row.err == nil {
			fresh = append(fresh, row.device)
		}
	}
	if len(rows) == 0 {
		return io.EOF
	}
	if r.task.DryRun || len(fresh) == 0 {
		return r.pretend(ctx, rows, fresh, save)
	}
	_, err := r.registry.Import(ctx, r.task.Product, fresh, func(ctx context.Context, tx *store.Tx, made []*registry.Device) error {
		return save(ctx, tx, r.batch(rows, func(i int) (bool, string) {
			if made[i] == nil {
				return false, ""
			}
			return true, made[i].Secret.Reveal()
		}))
	})
	if errors.Is(err, registry.ErrProductNotFound) {
		return &job.Fatal{Reason: "the product has been deleted"}
	}
	return err
}

// pretend is a step that makes no device.
func (r *importRun) pretend(ctx context.Context, rows []importRow, fresh []registry.NewDevice, save job.Save) error {
	sns := make([]string, len(fresh))
	for i := range fresh {
		sns[i] = fresh[i].SN
	}
	have := map[string]bool{}
	if len(sns) > 0 {
		var err error
		if have, err = r.registry.Existing(ctx, r.task.Product, sns); err != nil {
			return err
		}
	}
	return r.store.Update(ctx, func(tx *store.Tx) error {
		return save(ctx, tx, r.batch(rows, func(i int) (bool, string) { return !have[sns[i]], "" }))
	})
}

// batch is the outcome of rows; made tells of the i-th good one whether it was made, and its secret.
func (r *importRun) batch(rows []importRow, made func(i int) (bool, string)) job.Batch {
	b := job.Batch{Place: strconv.Itoa(r.read), Total: r.total, Rows: make([]job.Row, len(rows))}
	good := 0
	for i, row := range rows {
		secret := ""
		if row.err == nil {
			var ok bool
			if ok, secret = made(good); !ok {
				row.err = &rowError{"device_exists", "the product has a device of this deviceSN"}
			}
			good++
		}
		b.Rows[i].Cells = []string{strconv.Itoa(row.line), row.device.SN, secret, ""}
		if row.err != nil {
			b.Rows[i].Code, b.Rows[i].Cells[3] = row.err.code, row.err.reason
		}
	}
	return b
}
