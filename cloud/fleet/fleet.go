// Package fleet is work on many devices at once, as kinds of job: an import of a CSV file, an action on every device that a
// filter takes, and a call of a command of each of them.
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
	KindImport  = "device-import"
	KindBulk    = "device-bulk"
	KindCommand = "device-command"
	KindMessage = "message"
)

// perStep is how many devices one transaction does. The store's other writers wait meanwhile.
const perStep = 250

// Fleet makes the kinds.
type Fleet struct {
	store    *store.DB
	registry *registry.Registry
	caller   Caller
	sender   Sender
}

// New returns a Fleet; without a caller there is no KindCommand, without a sender no KindMessage.
func New(db *store.DB, reg *registry.Registry, caller Caller, sender Sender) *Fleet {
	return &Fleet{db, reg, caller, sender}
}

// Kinds are the kinds of job by name.
func (f *Fleet) Kinds() map[string]job.Kind {
	kinds := map[string]job.Kind{KindImport: importKind{f}, KindBulk: bulkKind{f}}
	if f.caller != nil {
		kinds[KindCommand] = commandKind{f}
	}
	if f.sender != nil {
		kinds[KindMessage] = messageKind{f}
	}
	return kinds
}
