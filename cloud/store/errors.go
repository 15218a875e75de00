package store

import (
	"database/sql"
	"errors"
	"fmt"
)

// Errors of Open. Each is wrapped in a text that says what to do.
var (
	// ErrInUse: another process holds the data folder; *InUseError names it.
	ErrInUse = errors.New("store: data folder is in use")
	// ErrReadOnly: the data folder or the database cannot be written.
	ErrReadOnly = errors.New("store: not writable")
	// ErrFull: no space is left for the database.
	ErrFull = errors.New("store: no space left")
	// ErrNewerSchema: the database was migrated by a newer binary; *NewerSchemaError has the numbers.
	ErrNewerSchema = errors.New("store: schema is newer than this binary")
	// ErrCorrupt: the database file is damaged or is no database.
	ErrCorrupt = errors.New("store: database is damaged")
	// ErrConfig: a field of Config has no usable value.
	ErrConfig = errors.New("store: bad configuration")
)

// Errors of units and queries.
var (
	// ErrConflict ends a unit whose guard, its first operation, did not affect the wanted number of rows: somebody else
	// changed what the unit was computed from. Nothing of the unit was stored. Read again and submit anew.
	ErrConflict = errors.New("store: guard missed")
	// ErrFenced ends a unit whose epoch is not that of its device's session: a newer session exists. Nothing of the unit
	// was stored; submitting it again cannot help.
	ErrFenced = errors.New("store: session epoch is stale")
	// ErrUnavailable ends a unit that could not be stored for a reason outside of it: disk full, server down. The message
	// must not be acknowledged; the same unit may succeed later. Nothing is ever half stored; when the connection to a
	// server broke during COMMIT it may have been stored whole.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrClosed: the DB was closed. Wrapped together with ErrUnavailable when it ends a unit.
	ErrClosed = errors.New("store: closed")
	// ErrNoRows is what Row.Scan returns when there was no row, on either engine.
	ErrNoRows = sql.ErrNoRows
)

// InUseError is ErrInUse with its details.
type InUseError struct {
	Dir string // the data folder
	PID int    // the process that holds it, 0 when it did not say
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("data folder %s is in use by %s: stop that hub, or give this one another data folder", e.Dir, who)
}

// Is makes errors.Is(err, ErrInUse) true.
func (e *InUseError) Is(target error) bool { return target == ErrInUse }

// NewerSchemaError is ErrNewerSchema with its details.
type NewerSchemaError struct {
	Have int64 // the version that the database is at
	Want int64 // the newest version that this binary knows
}

func (e *NewerSchemaError) Error() string {
	return fmt.Sprintf("the database has schema version %d, this binary knows up to %d: start the newer binary, or restore the backup taken before the upgrade", e.Have, e.Want)
}

// Is makes errors.Is(err, ErrNewerSchema) true.
func (e *NewerSchemaError) Is(target error) bool { return target == ErrNewerSchema }

// kind sorts the errors of both drivers by what the store does about them.
type kind uint8

const (
	kindUnit        kind = iota // the statement or its values are at fault: the unit ends with the error
	kindUnique                  // as kindUnit: a unique or primary key is taken
	kindRetry                   // deadlock or serialization failure: the same transaction may pass at once
	kindUnavailable             // the store is at fault: the unit may pass later
	kindFull                    // as kindUnavailable
	kindReadOnly                // as kindUnavailable
	kindCorrupt                 // as kindUnavailable
)

// sentinel is the exported error that stands for k, nil when there is none.
func (k kind) sentinel() error {
	switch k {
	case kindFull:
		return ErrFull
	case kindReadOnly:
		return ErrReadOnly
	case kindCorrupt:
		return ErrCorrupt
	default:
		return nil
	}
}

// transient says that the store, not the unit, is at fault.
func (k kind) transient() bool { return k >= kindRetry }

// String is the value of the metric's label.
func (k kind) String() string {
	return [...]string{"unit", "unique", "retry", "unavailable", "full", "readonly", "corrupt"}[k]
}

// classify sorts err; errors that no driver raised are the unit's own.
func classify(err error) kind {
	for _, s := range []struct {
		err  error
		kind kind
	}{{ErrFull, kindFull}, {ErrReadOnly, kindReadOnly}, {ErrCorrupt, kindCorrupt}, {ErrUnavailable, kindUnavailable}} {
		if errors.Is(err, s.err) {
			return s.kind
		}
	}
	if k, ok := sqliteKind(err); ok {
		return k
	}
	if k, ok := postgresKind(err); ok {
		return k
	}
	return kindUnit
}

// IsUnique says that err is the violation of a unique or primary key, on either engine.
func IsUnique(err error) bool { return err != nil && classify(err) == kindUnique }

// IsTemporary says that the store, not the request, is at fault (full disk, lock, lost connection): the same call may
// succeed later.
func IsTemporary(err error) bool { return err != nil && classify(err).transient() }

// unavailable wraps err so that it is ErrUnavailable and keeps its cause and, where known, what to do.
func unavailable(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	if s := classify(err).sentinel(); s != nil && !errors.Is(err, s) {
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, s, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
