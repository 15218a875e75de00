package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// MariaDB is a running MariaDB server with a database "plant" and a user who may do everything in it.
type MariaDB struct {
	*Process
	Addr, User, Password, Database string

	e      Env
	socket string
}

// StartMariaDB starts Debian's MariaDB, empty, on a free loopback port; it ends with e. args go to the server.
func StartMariaDB(e Env, args ...string) *MariaDB {
	e.Helper()
	server, err := exec.LookPath("mariadbd")
	if err != nil {
		server = "/usr/sbin/mariadbd"
	}
	if _, err := os.Stat(server); err != nil {
		e.Fatalf("%v (testbed/setup/install.sh installs mariadb-server)", err)
	}
	dir, err := os.MkdirTemp("", "hawser-my-") // the path of a socket is bounded
	if err != nil {
		e.Fatalf("folder for MariaDB: %v", err)
	}
	e.Cleanup(func() { _ = os.RemoveAll(dir) })
	data := filepath.Join(dir, "data")
	install := exec.Command("mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	if out, err := install.CombinedOutput(); err != nil {
		e.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	m := &MariaDB{Addr: FreeAddr(e), User: "hawser", Password: "s3cret, not 'shown'", Database: "plant", e: e, socket: filepath.Join(dir, "s")}
	_, port, _ := strings.Cut(m.Addr, ":")
	m.Process = StartProcess(e, Command{Path: server, Args: append([]string{"--no-defaults", "--user=root", "--datadir=" + data, "--socket=" + m.socket,
		"--port=" + port, "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M"}, args...), Ready: m.ready})
	m.Exec("CREATE DATABASE plant CHARACTER SET utf8mb4")
	m.Exec("CREATE USER 'hawser'@'%' IDENTIFIED BY 's3cret, not ''shown'''")
	m.Exec("GRANT ALL ON plant.* TO 'hawser'@'%'")
	return m
}

func (m *MariaDB) client(sql, database string) *exec.Cmd {
	return exec.Command("mariadb", "--no-defaults", "--socket="+m.socket, "-u", "root", "--batch", "--skip-column-names", "--delimiter=//", "--default-character-set=utf8mb4",
		"-e", sql, database)
}

func (m *MariaDB) ready() error { return m.client("SELECT 1", "mysql").Run() }

// Exec runs a statement as root, in no database.
func (m *MariaDB) Exec(sql string) {
	m.e.Helper()
	if out, err := m.client(sql, "mysql").CombinedOutput(); err != nil {
		m.e.Fatalf("%s: %v\n%s", sql, err, out)
	}
}

// Query runs a statement as root in the database, and returns its rows as lines with tabs between columns.
func (m *MariaDB) Query(sql string) string {
	m.e.Helper()
	out, err := m.client(sql, m.Database).Output()
	if err != nil {
		m.e.Fatalf("%s: %v", sql, err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// Config is a connector's configuration that leads to it.
func (m *MariaDB) Config() map[string]any { return sqlConfig(m.Addr, m.Database, m.User, m.Password) }

func sqlConfig(addr, database, user, password string) map[string]any {
	host, port, _ := strings.Cut(addr, ":")
	return map[string]any{"host": host, "port": atoi(port), "database": database, "user": user, "password": password}
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}
