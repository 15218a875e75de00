package registry

import (
	"errors"
	"fmt"
)

// Errors that callers branch on.
var (
	ErrProductNotFound = errors.New("registry: no such product")
	ErrDeviceNotFound  = errors.New("registry: no such device")
	// ErrExists is returned for a DeviceSN that the product has already.
	ErrExists        = errors.New("registry: device exists already")
	ErrGroupNotFound = errors.New("registry: no such group")
	// ErrGroupExists is returned for a name that another group of the project has.
	ErrGroupExists = errors.New("registry: group exists already")
	// ErrGroupByFilter is returned for a change of the members of a group that has a filter.
	ErrGroupByFilter = errors.New("registry: the group's members are what its filter takes: change the filter")
	// ErrPublished is returned for a change of the thing model of a published product.
	ErrPublished = errors.New("registry: the product is published, its thing model is frozen: unpublish it first")
	// ErrVersionNotFound is returned for a version of a thing model that was not published, or is no longer kept.
	ErrVersionNotFound = errors.New("registry: no such version of the thing model")
	// ErrRevision is returned for a change under the condition of a revision that has passed.
	ErrRevision = errors.New("registry: it has been changed in the meantime: read it again")
	// ErrHasDevices is returned by DeleteProduct.
	ErrHasDevices = errors.New("registry: the product has devices: delete them first")
	// ErrLimit is the kind of every *LimitError.
	ErrLimit = errors.New("registry: limit exceeded")
)

// ErrInvalid is returned for a value that cannot be stored. Field is the
// parameter's name as the API has it.
type ErrInvalid struct{ Field, Reason string }

func (e *ErrInvalid) Error() string {
	return fmt.Sprintf("registry: %s: %s", e.Field, e.Reason)
}

// LimitError says which limit was exceeded; errors.Is(err, ErrLimit).
type LimitError struct {
	What string // "custom topics of a product"
	Max  int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("registry: more than %d %s", e.Max, e.What)
}

// Is makes every LimitError an ErrLimit.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }
