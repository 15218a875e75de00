package harness

import (
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// S3 is an S3 service over TLS with one bucket: a versitygw over a folder.
type S3 struct {
	*Process
	Addr, Bucket         string
	AccessKey, SecretKey string
	CAFile               string // PEM
	CAs                  *x509.CertPool
}

// StartS3 starts a versitygw on a free loopback port; it ends with e.
func StartS3(e Env) *S3 {
	e.Helper()
	path, err := exec.LookPath("versitygw")
	if err != nil {
		cache, _ := os.UserCacheDir()
		if path, err = exec.LookPath(filepath.Join(cache, "hawser", "bin", "versitygw")); err != nil {
			e.Fatalf("%v (testbed/setup/install.sh installs it)", err)
		}
	}
	dir, pki := e.TempDir(), NewPKI(e)
	s := &S3{Addr: FreeAddr(e), Bucket: "hawser", AccessKey: "hub", SecretKey: "not-shown-7", CAFile: filepath.Join(dir, "ca.pem"), CAs: pki.Pool}
	cert, key, objects, meta := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "objects"), filepath.Join(dir, "meta")
	for file, text := range map[string]string{s.CAFile: pki.CA, cert: pki.ServerCertificate, key: pki.ServerKey} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			e.Fatalf("S3 service: %v", err)
		}
	}
	for _, d := range []string{filepath.Join(objects, s.Bucket), meta} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			e.Fatalf("S3 service: %v", err)
		}
	}
	_, port, _ := net.SplitHostPort(s.Addr)
	// What it knows of objects is kept beside them: not every file system has extended attributes.
	s.Process = StartProcess(e, Command{Path: path, Args: []string{"--access", s.AccessKey, "--secret", s.SecretKey, "--port", "127.0.0.1:" + port,
		"--region", "us-east-1", "--cert", cert, "--key", key, "--quiet", "posix", "--sidecar", meta, objects}, Ready: ReadyAt(s.Addr)})
	return s
}
