package harness

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// postgresVersion is what is installed when no PostgreSQL is there; any version that is there will do.
const postgresVersion = "15"

// postgresServer is the private server of this process.
var postgresServer struct {
	mu        sync.Mutex
	addr      string // "" until started
	bin       string
	databases int
	keep      io.Closer // the watcher's standard input: it stops the server when this process ends, however it ends
}

// watchPostgres runs the server and, when its standard input ends, stops it and removes its folder.
const watchPostgres = `"$1"/postgres -D "$2"/data -h 127.0.0.1 -p "$3" -k "$2" -c fsync="$4" -c full_page_writes="$4" -c max_connections=200 >"$2"/log 2>&1 &
pid=$!
read _
kill -QUIT $pid
wait $pid
rm -rf "$2"`

// Postgres returns the DSN of a new, empty database on a real PostgreSQL. The server is started at the first call of a
// process, with a data folder of its own and on a free port of 127.0.0.1, and stops with the process, even when that is
// killed. When no PostgreSQL is installed, it is installed with apt-get, which needs root.
func Postgres(e Env) string {
	e.Helper()
	s := &postgresServer
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr == "" {
		startPostgres(e)
	}
	return createDatabase(e, "")
}

// PostgresCopy returns the DSN of a database that begins as a copy of that of another DSN of this server, to which nobody is connected.
func PostgresCopy(e Env, dsn string) string {
	e.Helper()
	s := &postgresServer
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := url.Parse(dsn)
	if err != nil {
		e.Fatalf("DSN of PostgreSQL: %v", err)
	}
	return createDatabase(e, " TEMPLATE "+strings.TrimPrefix(u.Path, "/"))
}

// createDatabase makes a database and returns its DSN; the server's mu is held.
func createDatabase(e Env, options string) string {
	e.Helper()
	s := &postgresServer
	s.databases++
	name := "test" + strconv.Itoa(s.databases)
	postgresSQL(e, "CREATE DATABASE "+name+options)
	return "postgres://hawser@" + s.addr + "/" + name + "?sslmode=disable"
}

// startPostgres makes the cluster and starts the server under its watcher.
func startPostgres(e Env) {
	e.Helper()
	s := &postgresServer
	s.bin = postgresBin(e)
	dir, err := os.MkdirTemp("", "hawser-pg-")
	if err != nil {
		e.Fatalf("folder for PostgreSQL: %v", err)
	}
	as := postgresUser(e, dir)
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "hawser", "-A", "trust",
		"-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, as
	if out, err := initdb.CombinedOutput(); err != nil {
		e.Fatalf("initdb: %v\n%s", err, out)
	}
	addr := FreeAddr(e)
	_, port, _ := net.SplitHostPort(addr) // FreeAddr made it
	// Tests kill servers and do not cut the power: what the kernel has is safe, and they don't wait for the disk. Benchmarks do.
	fsync := "on"
	if testing.Testing() {
		fsync = "off"
	}
	watcher := exec.Command("/bin/sh", "-c", watchPostgres, "watch", s.bin, dir, port, fsync)
	watcher.Dir, watcher.SysProcAttr = dir, as
	in, err := watcher.StdinPipe()
	if err != nil {
		e.Fatalf("PostgreSQL's watcher: %v", err)
	}
	if err := watcher.Start(); err != nil {
		e.Fatalf("PostgreSQL's watcher: %v", err)
	}
	s.addr, s.keep = addr, in
	deadline := time.Now().Add(time.Minute)
	for postgresReady() != nil {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "log")) // only to help
			e.Fatalf("PostgreSQL is not ready after a minute:\n%s", log)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// postgresBin finds the newest installed server, installing one when there is none.
func postgresBin(e Env) string {
	e.Helper()
	find := func() string {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is good
		slices.Sort(found)
		if len(found) > 0 {
			return filepath.Dir(found[len(found)-1])
		}
		if path, err := exec.LookPath("initdb"); err == nil {
			return filepath.Dir(path)
		}
		return ""
	}
	if bin := find(); bin != "" {
		return bin
	}
	aptInstall(e, "postgresql-"+postgresVersion)
	bin := find()
	if bin == "" {
		e.Fatalf("postgresql-%s is installed and has no initdb", postgresVersion)
	}
	return bin
}

// aptInstall installs a package of the distribution, which needs root.
func aptInstall(e Env, name string) {
	e.Helper()
	e.Logf("installing %s", name)
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", name}} {
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			e.Fatalf("apt-get %v: %v\n%s", args, err, out)
		}
	}
}

// postgresUser says as whom the server runs: PostgreSQL refuses root, so root becomes the user postgres and gives it dir.
// The session of its own keeps a Ctrl-C in the terminal from reaching the watcher.
func postgresUser(e Env, dir string) *syscall.SysProcAttr {
	e.Helper()
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() != 0 {
		return attr
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		e.Fatalf("PostgreSQL does not run as root: %v", err)
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if errUID != nil || errGID != nil {
		e.Fatalf("user postgres has the ids %s:%s", u.Uid, u.Gid)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		e.Fatalf("PostgreSQL's folder: %v", err)
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr
}

// postgresReady asks the server, which refuses logins while it starts.
func postgresReady() error {
	return psql("SELECT 1").Run()
}

// psql is a command that runs one statement as superuser.
func psql(sql string) *exec.Cmd {
	host, port, _ := net.SplitHostPort(postgresServer.addr) // FreeAddr made it
	bin := filepath.Join(postgresServer.bin, "psql")
	if _, err := os.Stat(bin); err != nil {
		bin = "psql"
	}
	return exec.Command(bin, "-X", "-q", "-h", host, "-p", port, "-U", "hawser", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", sql)
}

func postgresSQL(e Env, sql string) {
	e.Helper()
	cmd := psql(sql)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		e.Fatalf("%s: %v", sql, fmt.Errorf("%w\n%s", err, out.String()))
	}
}
