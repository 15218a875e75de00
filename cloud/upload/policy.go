package upload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Policy is what a product changes of the hub's limits. What is zero is as the hub has it.
type Policy struct {
	MaxSize      int64         // bytes of a file
	MaxFiles     int64         // files of a device
	MaxBytes     int64         // bytes of all files of a device
	ProductBytes int64         // bytes of all files of the product; zero is no bound
	Keep         time.Duration // how long a file is kept; below zero is for ever
	Classes      []string      // the classes that are taken, beside bundles that the hub asks for; none is all
}

// ErrPolicy is returned for a Policy with a value that cannot be.
var ErrPolicy = errors.New("upload: bad file policy")

// maxClasses bounds the classes of a product.
const maxClasses = 32

// Validate names what is wrong.
func (p *Policy) Validate() error {
	switch {
	case p.MaxSize < 0 || p.MaxFiles < 0 || p.MaxBytes < 0 || p.ProductBytes < 0:
		return fmt.Errorf("%w: less than nothing", ErrPolicy)
	case p.Keep > 0 && p.Keep < time.Hour:
		return fmt.Errorf("%w: files are kept for at least an hour", ErrPolicy)
	case len(p.Classes) > maxClasses:
		return fmt.Errorf("%w: at most %d classes", ErrPolicy, maxClasses)
	}
	for _, c := range p.Classes {
		if !classWord.MatchString(c) {
			return fmt.Errorf("%w: class %q: 1 to 32 of a-z 0-9 . _ -", ErrPolicy, c)
		}
	}
	return nil
}

// Policy is what a product has set; the zero Policy if nothing.
func (u *Uploads) Policy(ctx context.Context, product string) (p Policy, err error) {
	var keep int64
	var classes string
	err = u.Store.QueryRow(ctx, `SELECT max_size, max_files, max_bytes, product_bytes, keep, classes FROM file_policy WHERE product = ?`, product).
		Scan(&p.MaxSize, &p.MaxFiles, &p.MaxBytes, &p.ProductBytes, &keep, &classes)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return p, fmt.Errorf("upload: read file policy: %w", err)
	}
	p.Keep, p.Classes = time.Duration(keep)*time.Millisecond, strings.Fields(classes)
	return p, nil
}

var putPolicy = store.NewStmt(`INSERT INTO file_policy (product, max_size, max_files, max_bytes, product_bytes, keep, classes) VALUES (?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (product) DO UPDATE SET max_size = excluded.max_size, max_files = excluded.max_files, max_bytes = excluded.max_bytes,
	product_bytes = excluded.product_bytes, keep = excluded.keep, classes = excluded.classes`)

// SetPolicy sets what a product changes. It holds for files that come from now on.
func (u *Uploads) SetPolicy(ctx context.Context, product string, p Policy) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if err := u.Store.Do(ctx, &store.Unit{Ops: []store.Op{putPolicy.Op(product, p.MaxSize, p.MaxFiles, p.MaxBytes, p.ProductBytes,
		p.Keep.Milliseconds(), strings.Join(p.Classes, " "))}}); err != nil {
		return fmt.Errorf("upload: store file policy: %w", err)
	}
	return nil
}

// limits are a product's: its own, and the hub's where it has none.
func (u *Uploads) limits(ctx context.Context, product string) (Policy, error) {
	p, err := u.Policy(ctx, product)
	for _, l := range []struct {
		own *int64
		hub int64
	}{{&p.MaxSize, u.cfg.MaxSize}, {&p.MaxFiles, int64(u.cfg.MaxFiles)}, {&p.MaxBytes, u.cfg.MaxBytes}} {
		if *l.own == 0 {
			*l.own = l.hub
		}
	}
	if p.Keep == 0 {
		p.Keep = u.cfg.Keep
	}
	return p, err
}

// allows holds a file to the limits. Two that begin at the same moment may exceed them by one.
func (u *Uploads) allows(ctx context.Context, l Policy, dev *registry.Device, f *File) error {
	if f.Size < 0 || f.Size > l.MaxSize {
		return u.refuse(message.CodeRange, fmt.Sprintf("FileSize must be 0 to %d", l.MaxSize))
	}
	if len(l.Classes) > 0 && f.Class != message.ClassDiagnosis && !slices.Contains(l.Classes, f.Class) {
		return u.refuse(message.CodeBad, "the product takes no files of this Class")
	}
	return u.fits(ctx, l, dev, f.Size)
}

// fits holds the limits of what a device, and a product, may have.
func (u *Uploads) fits(ctx context.Context, l Policy, dev *registry.Device, size int64) error {
	const held = ` AND (state = 1 OR state = 0 AND expires_at > ?)`
	var files, bytes int64
	err := u.Store.QueryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(size), 0) FROM device_file WHERE device = ?`+held, dev.ID, u.now().UnixMilli()).Scan(&files, &bytes)
	switch {
	case err != nil:
		return fmt.Errorf("upload: count files: %w", err)
	case files >= l.MaxFiles:
		return u.refuse(message.CodeRange, fmt.Sprintf("the device has %d files already: delete some", files))
	case bytes+size > l.MaxBytes:
		return u.refuse(message.CodeRange, fmt.Sprintf("the files of the device would have more than %d bytes: delete some", l.MaxBytes))
	case l.ProductBytes == 0:
		return nil
	}
	err = u.Store.QueryRow(ctx, `SELECT COALESCE(SUM(size), 0) FROM device_file WHERE product = ?`+held, dev.Identity.Product, u.now().UnixMilli()).Scan(&bytes)
	if err != nil {
		return fmt.Errorf("upload: count files: %w", err)
	}
	if bytes+size > l.ProductBytes {
		return u.refuse(message.CodeRange, fmt.Sprintf("the files of the product would have more than %d bytes: delete some", l.ProductBytes))
	}
	return nil
}
