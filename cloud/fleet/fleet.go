// Package fleet is work on many devices at once, as kinds of job: an import of a CSV file, and an action on every device
// that a filter takes.
//
// It promises that a bad row costs nobody else anything: each row of a file gets its line number, a stable code and a
// reason, and the good ones go in, some hundreds in a transaction together with their results. A dry run makes every check
// and changes nothing. It leaves running, resuming and results to job, and what a device is to the registry.
package fleet

import (
	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
)

// The kinds of job.
const (
	KindImport = "device-import"
	KindBulk   = "device-bulk"
)

// perStep is how many devices one transaction does. The store's other writers wait meanwhile.
const perStep = 250

// Fleet makes the kinds.
type Fleet struct {
	store    *store.DB
	registry *registry.Registry
}

// New returns a Fleet.
func New(db *store.DB, reg *registry.Registry) *Fleet { return &Fleet{db, reg} }

// Kinds are the kinds of job by name.
func (f *Fleet) Kinds() map[string]job.Kind {
	return map[string]job.Kind{KindImport: importKind{f}, KindBulk: bulkKind{f}}
}
