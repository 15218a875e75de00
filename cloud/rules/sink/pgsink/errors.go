package pgsink

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// away are errors that no record is to blame for, beside whole classes of them: the table as it is, and the hub's rights on it. They
// are tried again for as long as it takes: an operator puts them right, and nothing is lost meanwhile.
var away = map[string]bool{
	"25006": true, // read-only transaction
	"3D000": true, // no such database
	"3F000": true, // no such schema
	"42501": true, // insufficient privilege
	"42P01": true, // no such table
	"42P10": true, // no unique index that fits the key
	"26000": true, // no such prepared statement: see stale
	"42P05": true, // a prepared statement of that name
	"55P03": true, // lock not available
	"55006": true, // object in use
	"55000": true, // not in the state that is needed
}

// classify gives an error of the driver its meaning for the records. What is no answer of the server is about the way to it.
func classify(err error) error {
	if err == nil || errors.Is(err, errMisfit) {
		return err
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Errorf("%w: %s", rules.ErrUnavailable, err) //nolint:errorlint // a refused address would make dead letters of records that are not to blame
	}
	if e.Routine == "ExecWithCheckOptions" { // a policy is a CHECK, though the code is that of a right that lacks
		return fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	}
	if away[e.Code] {
		return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
	}
	switch e.Code[:2] {
	case "08", "28", "40", "53", "57", "58": // connection, login, rolled back, resources, operator, system
		return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
	case "21", "22", "23", "42", "44", "54", "P0": // cardinality, data, constraint, syntax or name, check, limits, a trigger's own
		return fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	}
	return err
}

// takesNoCopy tells whether the server has refused a COPY as such.
func takesNoCopy(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "0A000" || e.Code == "42809") // feature not supported, wrong object type
}

// stale tells whether the server's prepared statements are not those that the client knows: poolers that give a client now this connection
// to the server and now that one make it so.
func stale(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "26000" || e.Code == "42P05")
}

// again tells whether a transaction has only met another and may be run again at once, or has to be on another connection.
func again(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01") || stale(err)
}
