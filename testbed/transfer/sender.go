package transfer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/upload"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Sender sends one file by the SDK, in a process of its own: this program's, started again.
type Sender struct {
	Base        string // of the hub
	Product, SN string
	Secret      string
	File        string
	CA          string // PEM
	Path        upload.Path
	Parallel    int
	PartSize    int64
	Class       string
}

const senderEnv = "HAWSER_TESTBED_SENDER"

// Main is what a program that uses Run calls first: it sends, and ends the process, when this is a sender's process.
func Main() {
	spec := os.Getenv(senderEnv)
	if spec == "" {
		return
	}
	var s Sender
	err := json.Unmarshal([]byte(spec), &s)
	id := ""
	if err == nil {
		id, err = s.Send(context.Background(), nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(id)
	os.Exit(0)
}

// Client is an HTTP client that trusts the sender's CA.
func (s *Sender) Client() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(s.CA))
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 8}}
}

// Send sends the file in this process; change may change how.
func (s *Sender) Send(ctx context.Context, change func(*upload.Config)) (string, error) {
	client := s.Client()
	defer client.CloseIdleConnections()
	cfg := upload.Config{Hub: upload.NewHTTP(s.Base, ident.Device{Product: s.Product, SN: s.SN}, credential.Secret(s.Secret), client), Client: client,
		Path: s.Path, Parallel: s.Parallel, PartSize: s.PartSize, RetryMin: 20 * time.Millisecond, RetryMax: time.Second}
	if change != nil {
		change(&cfg)
	}
	f, err := upload.Open(s.File)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	f.Class, f.Key = s.Class, s.File
	return upload.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil))).Send(ctx, f)
}

// run sends in a process of its own, which is killed with SIGKILL when ctx ends.
func (s *Sender) run(ctx context.Context) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	spec, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), senderEnv+"="+string(spec))
	var out, text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &text
	if err := cmd.Run(); err != nil {
		return "", errors.Join(err, errors.New(text.String()))
	}
	return strings.TrimSpace(out.String()), nil
}
