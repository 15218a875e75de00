package job

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hawser-iot/hawser/cloud/store"
)

// pieceSize is how much of an upload one row holds.
const pieceSize = 64 << 10

// upload stores what r gives. It is in the store and not in a file, so that any node can do the job.
func (j *Jobs) upload(ctx context.Context, id string, r io.Reader) error {
	buf := make([]byte, pieceSize)
	var size int64
	for seq := int64(0); ; seq++ {
		n, err := io.ReadFull(r, buf)
		if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err // the caller's own, whose kind it wants to know
		}
		size += int64(n)
		if size > j.cfg.MaxInput {
			return fmt.Errorf("%w (more than %d bytes)", ErrInputTooLarge, j.cfg.MaxInput)
		}
		if n > 0 {
			if err := j.Store.Update(ctx, func(tx *store.Tx) error {
				return j.addPiece(ctx, tx, store.JobInput, id, seq, buf[:n])
			}); err != nil {
				return fmt.Errorf("job: store the input: %w", err)
			}
		}
		if err != nil {
			return nil
		}
	}
}

// pieceID names a row of job_input or job_result.
func pieceID(job string, seq int64) string { return fmt.Sprintf("%s.%08d", job, seq) }

// addPiece seals and stores one.
func (j *Jobs) addPiece(ctx context.Context, tx *store.Tx, c store.Column, job string, seq int64, plain []byte) error {
	id := pieceID(job, seq)
	_, err := tx.Exec(ctx, `INSERT INTO `+c.Table+` (id, job, data) VALUES (?, ?, ?)`, id, job, j.Store.Seal(c, id, plain))
	return err
}

// Input reads what was uploaded with the job, from the beginning.
func (t *Task) Input(ctx context.Context) io.Reader {
	return &pieces{ctx: ctx, jobs: t.jobs, column: store.JobInput, job: t.ID}
}

// pieces reads the rows of a table one after the other.
type pieces struct {
	ctx    context.Context // of the one reading that pieces is for
	jobs   *Jobs
	column store.Column
	job    string
	seq    int64
	rest   []byte
}

func (p *pieces) next() error {
	id := pieceID(p.job, p.seq)
	var data []byte
	err := p.jobs.Store.QueryRow(p.ctx, `SELECT data FROM `+p.column.Table+` WHERE id = ?`, id).Scan(&data)
	if errors.Is(err, store.ErrNoRows) {
		return io.EOF
	}
	if err == nil {
		p.rest, err = p.jobs.Store.Unseal(p.column, id, data)
	}
	if err != nil {
		return fmt.Errorf("job: read %s: %w", p.column.Table, err)
	}
	p.seq++
	return nil
}

// Read is io.Reader's.
func (p *pieces) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
