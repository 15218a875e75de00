package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Nginx is a running nginx that serves a folder: the peer of downloads.
type Nginx struct {
	Addr string
	cmd  *exec.Cmd
}

// StartNginx starts Debian's nginx in one process on a free loopback port, with sendfile and open files kept, and without a log; it ends with e.
// pin is a CPU list for taskset.
func StartNginx(e Env, root, pin string) *Nginx {
	e.Helper()
	bin, err := exec.LookPath("nginx")
	if err != nil {
		bin = "/usr/sbin/nginx"
	}
	dir := e.TempDir()
	n := &Nginx{Addr: FreeAddr(e)}
	conf := fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/error.log;
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000000;
	open_file_cache max=100;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	server { listen %[2]s; root %[3]s; }
}
`, dir, n.Addr, root)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		e.Fatalf("nginx's configuration: %v", err)
	}
	args := []string{bin, "-c", file, "-p", dir}
	if pin != "" {
		args = append([]string{"taskset", "-c", pin}, args...)
	}
	n.cmd = exec.Command(args[0], args[1:]...)
	if err := startChild(n.cmd); err != nil {
		e.Fatalf("%v (testbed/setup/install.sh installs it)", err)
	}
	e.Cleanup(func() {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	})
	Eventually(e, time.Minute, "nginx listens on "+n.Addr, func() bool { return listens(n.Addr) })
	return n
}

// PID is the server's process id.
func (n *Nginx) PID() int { return n.cmd.Process.Pid }
