package harness

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// PostgresServer is a PostgreSQL of one test's own, which it may pause and kill, with a database "plant" and a user who owns it.
type PostgresServer struct {
	*Process
	Addr, User, Password, Database string

	e   Env
	bin string
}

// StartPostgresServer starts a PostgreSQL, empty, on a free loopback port; it ends with e. args go to the server.
func StartPostgresServer(e Env, args ...string) *PostgresServer {
	e.Helper()
	dir, err := os.MkdirTemp("", "hawser-pgs-")
	if err != nil {
		e.Fatalf("folder for PostgreSQL: %v", err)
	}
	e.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &PostgresServer{Addr: FreeAddr(e), User: "hawser", Password: "s3cret, not 'shown'", Database: "plant", e: e, bin: postgresBin(e)}
	as := postgresUser(e, dir)
	data := filepath.Join(dir, "data")
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("root"), 0o644); err != nil {
		e.Fatalf("%v", err)
	}
	initdb := exec.Command(filepath.Join(p.bin, "initdb"), "-D", data, "-U", "root", "-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, as
	if out, err := initdb.CombinedOutput(); err != nil {
		e.Fatalf("initdb: %v\n%s", err, out)
	}
	_, port, _ := net.SplitHostPort(p.Addr) // FreeAddr made it
	p.Process = StartProcess(e, Command{Path: filepath.Join(p.bin, "postgres"), Args: append([]string{"-D", data, "-h", "127.0.0.1", "-p", port, "-k", dir}, args...),
		Dir: dir, User: as.Credential, Ready: func() error { return p.client("SELECT 1", "postgres").Run() }})
	p.Exec("CREATE USER hawser PASSWORD 's3cret, not ''shown'''")
	p.Exec("CREATE DATABASE plant OWNER hawser")
	return p
}

// PostgresTLS are the arguments with which a server speaks TLS.
func PostgresTLS(e Env, pki *PKI) []string {
	e.Helper()
	dir, err := os.MkdirTemp("", "hawser-pgt-")
	if err != nil {
		e.Fatalf("folder for certificates: %v", err)
	}
	e.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := postgresUser(e, dir)
	for name, pem := range map[string]string{"ca": pki.CA, "cert": pki.ServerCertificate, "key": pki.ServerKey} {
		file := filepath.Join(dir, name)
		err := os.WriteFile(file, []byte(pem), 0o600)
		if err == nil && as.Credential != nil {
			err = os.Chown(file, int(as.Credential.Uid), int(as.Credential.Gid))
		}
		if err != nil {
			e.Fatalf("%v", err)
		}
	}
	return []string{"-c", "ssl=on", "-c", "ssl_ca_file=" + filepath.Join(dir, "ca"), "-c", "ssl_cert_file=" + filepath.Join(dir, "cert"), "-c", "ssl_key_file=" + filepath.Join(dir, "key")}
}

func (p *PostgresServer) client(sql, database string) *exec.Cmd {
	host, port, _ := net.SplitHostPort(p.Addr)
	cmd := exec.Command(filepath.Join(p.bin, "psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", "root", "-d", database, "-c", sql)
	cmd.Env = append(os.Environ(), "PGPASSWORD=root", "PGCONNECT_TIMEOUT=60", "PGCLIENTENCODING=UTF8")
	return cmd
}

// Exec runs a statement as superuser, outside of the database.
func (p *PostgresServer) Exec(sql string) {
	p.e.Helper()
	if out, err := p.client(sql, "postgres").CombinedOutput(); err != nil {
		p.e.Fatalf("%s: %v\n%s", sql, err, out)
	}
}

// Query runs a statement as superuser in the database, and returns its rows as lines with tabs between columns.
func (p *PostgresServer) Query(sql string) string {
	p.e.Helper()
	out, err := p.client(sql, p.Database).Output()
	if err != nil {
		p.e.Fatalf("%s: %v", sql, err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// Config is a connector's configuration that leads to it.
func (p *PostgresServer) Config() map[string]any {
	return sqlConfig(p.Addr, p.Database, p.User, p.Password)
}
