package job

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hawser-iot/hawser/cloud/store"
)

// pieceSize is how much of an upload one row holds.
const pieceSize = 256 << 10

// upload stores what r gives. It is in the store and not in a file, so that any node can do the job.
func (j *Jobs) upload(ctx context.Context, id string, r io.Reader) error {
	buf := make([]byte, pieceSize)
	var size int64
	for seq := 0; ; seq++ {
		n, err := io.ReadFull(r, buf)
		if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err // the caller's own, whose kind it wants to know
		}
		size += int64(n)
		if size > j.cfg.MaxInput {
			return fmt.Errorf("%w (more than %d bytes)", ErrInputTooLarge, j.cfg.MaxInput)
		}
		if n > 0 {
			piece := j.seal(buf[:n], id)
			if err := j.Store.Update(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO job_input (job, seq, data) VALUES (?, ?, ?)`, id, seq, piece)
				return err
			}); err != nil {
				return fmt.Errorf("job: store the input: %w", err)
			}
		}
		if err != nil {
			return nil
		}
	}
}

func (j *Jobs) seal(plain []byte, id string) []byte {
	if j.Sealer == nil {
		return append([]byte(nil), plain...)
	}
	return j.Sealer.Seal(plain, "job/"+id)
}

func (j *Jobs) unseal(sealed []byte, id string) ([]byte, error) {
	if j.Sealer == nil {
		return sealed, nil
	}
	return j.Sealer.Open(sealed, "job/"+id)
}

// Input reads what was uploaded with the job, from the beginning.
func (t *Task) Input(ctx context.Context) io.Reader {
	return &pieces{ctx: ctx, jobs: t.jobs, table: "job_input", job: t.ID}
}

// pieces reads the rows of a table one after the other.
type pieces struct {
	ctx        context.Context // of the one reading that pieces is for
	jobs       *Jobs
	table, job string
	seq        int64
	rest       []byte
}

func (p *pieces) next() error {
	var data []byte
	err := p.jobs.Store.QueryRow(p.ctx, `SELECT data FROM `+p.table+` WHERE job = ? AND seq = ?`, p.job, p.seq).Scan(&data)
	if errors.Is(err, store.ErrNoRows) {
		return io.EOF
	}
	if err != nil {
		return fmt.Errorf("job: read %s of %s: %w", p.table, p.job, err)
	}
	if p.rest, err = p.jobs.unseal(data, p.job); err != nil {
		return fmt.Errorf("job: read %s of %s: %w", p.table, p.job, err)
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
