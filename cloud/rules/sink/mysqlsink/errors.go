package mysqlsink

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// Numbers of errors, MariaDB's and MySQL's.
const (
	errDeadlock       = 1213
	errLockTimeout    = 1205
	errPacketTooLarge = 1153
	errUnknown        = 1105
)

// away are errors that no record is to blame for: the server, the hub's rights on it, or the table as it is. They are tried again
// for as long as it takes: an operator puts them right, and nothing is lost meanwhile.
var away = map[uint16]bool{
	1021: true,                         // disk full
	1028: true,                         // sort aborted
	1030: true,                         // error of the storage engine
	1036: true,                         // table is read only
	1037: true, 1038: true, 1041: true, // out of memory
	1040: true, 1203: true, 1226: true, // too many connections
	1043: true, 1129: true, 1130: true, // handshake, host blocked
	1044: true, 1045: true, 1698: true, // access denied
	1049:        true, // no such database
	1053:        true, // shutdown
	1114:        true, // table is full
	1142:        true, // command denied
	1143:        true, // the same for a column
	1146:        true, // no such table
	1227:        true, // privilege needed
	1290:        true, // read only
	1317:        true, // interrupted
	1370:        true, // function or procedure denied
	1836:        true, // read-only mode
	1927:        true, // connection killed
	1969:        true, // statement took too long
	3024:        true, // the same on MySQL
	3100:        true, // refused by a replication plugin
	3118:        true, // account locked
	1820:        true, // password has expired
	1862:        true, // the same
	1792:        true, // read-only transaction
	4151:        true, // account locked on MariaDB
	12043:       true, // encryption is not ready
	1461:        true, // too many prepared statements
	errDeadlock: true, errLockTimeout: true,
}

// refused are errors that will be the same each time: the record does not fit the table.
var refused = map[uint16]bool{
	1048: true,             // column cannot be null
	1054: true,             // no such column
	1062: true, 1586: true, // duplicate without a key
	1064: true,                                     // syntax
	1136: true,                                     // number of columns
	1264: true,                                     // out of range
	1265: true,                                     // cut
	1292: true,                                     // incorrect value
	1364: true,                                     // no default
	1366: true,                                     // incorrect value, or characters the column cannot hold
	1367: true,                                     // illegal value
	1406: true,                                     // too long
	1411: true,                                     // incorrect value for a function
	1451: true, 1452: true, 1216: true, 1217: true, // foreign key
	1526: true,                         // no partition for the value
	1644: true,                         // a trigger's own
	1690: true,                         // out of range
	3140: true, 3141: true, 3156: true, // JSON
	3819: true, 4025: true, // CHECK
	errPacketTooLarge: true,
}

// classify gives an error of the driver its meaning for the records. What is no answer of the server is about the way to it.
func classify(err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*mysql.MySQLError](err)
	switch {
	case errors.Is(err, mysql.ErrPktTooLarge),
		ok && e.Number == errUnknown && strings.Contains(e.Message, "max_allowed_packet"): // it has no number of its own
		return fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	case !ok:
		return fmt.Errorf("%w: %s", rules.ErrUnavailable, err) //nolint:errorlint // a refused address would make dead letters of records that are not to blame
	case away[e.Number]:
		return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
	case refused[e.Number]:
		return fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	}
	switch string(e.SQLState[:2]) {
	case "22", "23", "42", "44": // data, constraint, syntax or name, check
		return fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	case "08", "40", "53", "57": // connection, rolled back, resources
		return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
	}
	return err
}

// again tells whether a transaction has only met another and may be run again at once.
func again(err error) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && (e.Number == errDeadlock || e.Number == errLockTimeout)
}
