package registry

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/store"
)

// What a Quota counts.
const (
	KindOfDevices  = "devices"
	KindOfProducts = "products"
)

// Quota holds, within the transaction that makes them, that n more of a kind fit into a project.
type Quota func(ctx context.Context, tx *store.Tx, project, kind string, n int64) error

// Limit makes r ask q before it makes something, whoever wants it made. It must be called before r is used.
func (r *Registry) Limit(q Quota) { r.quota = q }

func (r *Registry) fits(ctx context.Context, tx *store.Tx, project, kind string, n int) error {
	if r.quota == nil {
		return nil
	}
	return r.quota(ctx, tx, project, kind, int64(n))
}
