package store

import (
	"fmt"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	sqlite3 "modernc.org/sqlite/lib"
)

// writeConn is the committer's own connection to SQLite, below database/sql: it keeps statements prepared and binds from
// one reused buffer, where the driver allocates for each text and blob and asks for each parameter's name. It is not safe
// for concurrent use.
type writeConn struct {
	tls   *libc.TLS
	db    uintptr
	arena arena
}

// writeStmt is a prepared statement of a writeConn.
type writeStmt struct {
	conn *writeConn
	ptr  uintptr
}

// sqliteError is an error of a writeConn, with SQLite's extended result code.
type sqliteError struct {
	code int
	text string
}

func (e *sqliteError) Error() string { return fmt.Sprintf("%s (%d)", e.text, e.code) }

// Code returns the extended result code, as the driver's error does.
func (e *sqliteError) Code() int { return e.code }

// openWriteConn opens or makes the database file.
func openWriteConn(path string) (*writeConn, error) {
	c := &writeConn{tls: libc.NewTLS()}
	c.arena.tls = c.tls
	name, err := libc.CString(path)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, name)
	out := libc.Xmalloc(c.tls, types.Size_t(unsafe.Sizeof(uintptr(0))))
	defer libc.Xfree(c.tls, out)
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, out, sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_CREATE|sqlite3.SQLITE_OPEN_NOMUTEX, 0)
	c.db = *(*uintptr)(pointer(out))
	if rc != sqlite3.SQLITE_OK {
		err := c.failure(rc)
		c.close()
		return nil, err
	}
	sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, 10_000)
	return c, nil
}

// pointer turns an address of C memory, which the collector does not move, into a pointer.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

func (c *writeConn) failure(rc int32) error {
	text := "out of memory"
	if c.db != 0 {
		text = libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	}
	return &sqliteError{code: int(rc), text: text}
}

func (c *writeConn) close() {
	sqlite3.Xsqlite3_close_v2(c.tls, c.db)
	c.arena.free()
	c.tls.Close()
}

// idle says that no transaction is open; some errors end one by themselves.
func (c *writeConn) idle() bool { return sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) != 0 }

// prepare compiles one statement, to be kept.
func (c *writeConn) prepare(sql string) (*writeStmt, error) {
	text, err := libc.CString(sql)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, text)
	out := libc.Xmalloc(c.tls, types.Size_t(unsafe.Sizeof(uintptr(0))))
	defer libc.Xfree(c.tls, out)
	if rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, text, -1, sqlite3.SQLITE_PREPARE_PERSISTENT, out, 0); rc != sqlite3.SQLITE_OK {
		return nil, c.failure(rc)
	}
	return &writeStmt{conn: c, ptr: *(*uintptr)(pointer(out))}, nil
}

// run prepares and runs a statement once.
func (c *writeConn) run(sql string) error {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	defer s.close()
	_, err = s.exec()
	return err
}

// text prepares and runs a statement once and returns the first column of its first row.
func (c *writeConn) text(sql string) (string, error) {
	s, err := c.prepare(sql)
	if err != nil {
		return "", err
	}
	defer s.close()
	switch rc := sqlite3.Xsqlite3_step(c.tls, s.ptr); rc {
	case sqlite3.SQLITE_ROW:
		return libc.GoString(sqlite3.Xsqlite3_column_text(c.tls, s.ptr, 0)), nil
	case sqlite3.SQLITE_DONE:
		return "", nil
	default:
		return "", c.failure(rc)
	}
}

func (s *writeStmt) close() { sqlite3.Xsqlite3_finalize(s.conn.tls, s.ptr) }

// bind sets the parameters from first on, counted from 1.
func (s *writeStmt) bind(first int, args []any) error {
	for i, arg := range args {
		if err := s.bindOne(int32(first+i), arg); err != nil {
			return err
		}
	}
	return nil
}

func (s *writeStmt) bindOne(i int32, arg any) error {
	c := s.conn
	var rc int32
	switch v := arg.(type) {
	case int64:
		rc = sqlite3.Xsqlite3_bind_int64(c.tls, s.ptr, i, v)
	case int:
		rc = sqlite3.Xsqlite3_bind_int64(c.tls, s.ptr, i, int64(v))
	case string:
		p, err := c.arena.copy(unsafe.Slice(unsafe.StringData(v), len(v)))
		if err != nil {
			return err
		}
		rc = sqlite3.Xsqlite3_bind_text(c.tls, s.ptr, i, p, int32(len(v)), sqlite3.SQLITE_STATIC)
	case []byte:
		if v == nil {
			return s.bindOne(i, nil)
		}
		p, err := c.arena.copy(v)
		if err != nil {
			return err
		}
		rc = sqlite3.Xsqlite3_bind_blob(c.tls, s.ptr, i, p, int32(len(v)), sqlite3.SQLITE_STATIC)
	case float64:
		rc = sqlite3.Xsqlite3_bind_double(c.tls, s.ptr, i, v)
	case nil:
		rc = sqlite3.Xsqlite3_bind_null(c.tls, s.ptr, i)
	default:
		v, err := plain(arg)
		if err != nil {
			return err
		}
		return s.bindOne(i, v)
	}
	if rc != sqlite3.SQLITE_OK {
		return c.failure(rc)
	}
	return nil
}

// exec runs the bound statement to its end and returns the rows that it changed.
func (s *writeStmt) exec() (int64, error) {
	c := s.conn
	rc := sqlite3.Xsqlite3_step(c.tls, s.ptr)
	for rc == sqlite3.SQLITE_ROW {
		rc = sqlite3.Xsqlite3_step(c.tls, s.ptr)
	}
	if rc != sqlite3.SQLITE_DONE {
		err := c.failure(rc)
		s.reset()
		return 0, err
	}
	n := sqlite3.Xsqlite3_changes64(c.tls, c.db)
	s.reset()
	return n, nil
}

// integer runs the bound statement and returns the first column of its first row; ok is false without a row.
func (s *writeStmt) integer() (v int64, ok bool, err error) {
	c := s.conn
	defer s.reset()
	switch rc := sqlite3.Xsqlite3_step(c.tls, s.ptr); rc {
	case sqlite3.SQLITE_ROW:
		return sqlite3.Xsqlite3_column_int64(c.tls, s.ptr, 0), true, nil
	case sqlite3.SQLITE_DONE:
		return 0, false, nil
	default:
		return 0, false, c.failure(rc)
	}
}

// reset makes the statement ready for its next run; its error is that of the run before.
func (s *writeStmt) reset() {
	sqlite3.Xsqlite3_reset(s.conn.tls, s.ptr)
	s.conn.arena.reset()
}

// arena is C memory for the values of one statement, reused for the next.
type arena struct {
	tls  *libc.TLS
	base uintptr
	size int
	used int
	old  []uintptr // outgrown while values in it were bound
}

const (
	arenaMin = 64 << 10
	arenaMax = 4 << 20 // larger ones are given back
)

// copy returns the address of a copy of b, never 0.
func (a *arena) copy(b []byte) (uintptr, error) {
	if a.base == 0 || len(b) > a.size-a.used {
		if err := a.grow(len(b)); err != nil {
			return 0, err
		}
	}
	p := a.base + uintptr(a.used)
	if len(b) > 0 {
		copy(unsafe.Slice((*byte)(pointer(p)), len(b)), b)
	}
	a.used += len(b)
	return p, nil
}

func (a *arena) grow(n int) error {
	size := max(arenaMin, 2*a.size, 2*n)
	p := libc.Xmalloc(a.tls, types.Size_t(size))
	if p == 0 {
		return fmt.Errorf("%w: no memory for %d bytes", ErrUnavailable, size)
	}
	if a.base != 0 {
		a.old = append(a.old, a.base)
	}
	a.base, a.size, a.used = p, size, 0
	return nil
}

func (a *arena) reset() {
	a.used = 0
	if len(a.old) == 0 && a.size <= arenaMax {
		return
	}
	for _, p := range a.old {
		libc.Xfree(a.tls, p)
	}
	a.old = a.old[:0]
	if a.size > arenaMax {
		libc.Xfree(a.tls, a.base)
		a.base, a.size = 0, 0
	}
}

func (a *arena) free() {
	a.reset()
	if a.base != 0 {
		libc.Xfree(a.tls, a.base)
		a.base, a.size = 0, 0
	}
}
