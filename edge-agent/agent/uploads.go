package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	sdk "github.com/hawser-iot/hawser/device-sdk/upload"
	"github.com/hawser-iot/hawser/edge-agent/upload"
)

// Uploads says which files of the gateway are sent to the hub; docs/uploads.md has examples.
type Uploads struct {
	Rules []UploadRule `yaml:"rules"`
	// Every is how often the folders are looked through.
	Every Duration `yaml:"every"`
	// Rate is bytes a second, Day bytes a day (UTC); 0 is no bound.
	Rate Size `yaml:"rate"`
	Day  Size `yaml:"day"`
	// Window is when files are sent, local time, such as 22:00-06:00; empty is always.
	Window string `yaml:"window"`
	// Path is auto, direct (to the object store) or relay (by the hub).
	Path string `yaml:"path"`
	// CA is a PEM file of authorities of the object store, beside the system's and those of tls.ca.
	CA string `yaml:"ca"`
}

// UploadRule says which files are sent and how.
type UploadRule struct {
	Glob   string   `yaml:"glob"`
	Class  string   `yaml:"class"`
	Settle Duration `yaml:"settle"`
	// After is delete, keep or move, the latter to MoveTo.
	After  string `yaml:"after"`
	MoveTo string `yaml:"move_to"`
	// Compress is zstd or nothing.
	Compress string `yaml:"compress"`
	MaxSize  Size   `yaml:"max_size"`
}

// fill sets what a section need not say.
func (u *Uploads) fill() {
	if u.Every == 0 {
		u.Every = Duration(10 * time.Second)
	}
	if u.Path == "" {
		u.Path = "auto"
	}
	for i := range u.Rules {
		r := &u.Rules[i]
		if r.Settle == 0 {
			r.Settle = Duration(10 * time.Second)
		}
		if r.After == "" {
			r.After = string(upload.Keep)
		}
	}
}

var uploadPaths = map[string]sdk.Path{"auto": sdk.Auto, "direct": sdk.Direct, "relay": sdk.Relay}

// config is the section in upload's words.
func (u *Uploads) config() (c upload.Config, err error) {
	path, ok := uploadPaths[u.Path]
	if !ok {
		return c, fmt.Errorf("uploads.path: %q is none of auto, direct, relay", u.Path)
	}
	if len(u.Rules) == 0 {
		return c, errors.New("uploads.rules: missing")
	}
	c = upload.Config{Every: time.Duration(u.Every), Rate: int64(u.Rate), Day: int64(u.Day), Path: path}
	if c.Window, err = upload.ParseWindow(u.Window); err != nil {
		return c, fmt.Errorf("uploads.window: %w", err)
	}
	for i, r := range u.Rules {
		if r.Compress != "" && r.Compress != "zstd" {
			return c, fmt.Errorf("uploads.rules[%d].compress: %q is not zstd", i, r.Compress)
		}
		c.Rules = append(c.Rules, upload.Rule{Glob: r.Glob, Class: r.Class, Settle: time.Duration(r.Settle), After: upload.After(r.After), MoveTo: r.MoveTo,
			Compress: r.Compress != "", MaxSize: int64(r.MaxSize)})
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("uploads.%w", err)
	}
	return c, nil
}

// takesAs reports a rule that deletes or moves files where no rule of another configuration does the same: below one's root, and to the same folder. Who may put
// files anywhere may have them run.
func (u *Uploads) takesAs(old *Uploads) error {
	if u == nil {
		return nil
	}
	for i, r := range u.Rules {
		if r.After == string(upload.Keep) {
			continue
		}
		known := old != nil && slices.ContainsFunc(old.Rules, func(o UploadRule) bool {
			return o.After == r.After && o.MoveTo == r.MoveTo && within(r.Glob, o.Glob)
		})
		if !known {
			return fmt.Errorf("uploads.rules[%d]: the gateway has no rule for that folder after which files are deleted, or moved there", i)
		}
	}
	return nil
}

// within tells whether a glob's files are in or below the root of another's.
func within(glob, other string) bool {
	in, of := (&upload.Rule{Glob: glob}).Root(), (&upload.Rule{Glob: other}).Root()
	rel, err := filepath.Rel(of, in)
	return err == nil && filepath.IsLocal(rel)
}

// uploadBusy is how many messages may wait for the hub while files are sent.
const uploadBusy = 100

// openUploads makes the part that sends files; nil without a section.
func (a *Agent) openUploads() (*upload.Upload, error) {
	if a.cfg.Uploads == nil {
		return nil, nil //nolint:nilnil // none is wanted
	}
	c, err := a.cfg.Uploads.config()
	if err != nil {
		return nil, err
	}
	log := a.log.With("part", "uploads")
	if c.Hub, err = a.files(); err != nil {
		return nil, err
	}
	if c.Client, err = a.cfg.uploadClient(); err != nil {
		return nil, err
	}
	c.Dir = filepath.Join(a.cfg.Data, "uploads")
	c.State = a.kept.Bucket("uploads")
	c.Busy = func() bool { return a.buffered().Records > uploadBusy }
	return upload.New(c, log)
}

// byHost trusts the hub as the section tls says, and others, such as an object store, by the authorities that are known.
type byHost struct {
	host       string
	hub, other *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (b *byHost) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() == b.host {
		return b.hub.RoundTrip(r)
	}
	return b.other.RoundTrip(r)
}

// CloseIdleConnections has http.Client's of the same name work.
func (b *byHost) CloseIdleConnections() {
	b.hub.CloseIdleConnections()
	b.other.CloseIdleConnections()
}

func (c *Config) uploadClient() (*http.Client, error) {
	lc, err := c.link()
	if err != nil {
		return nil, err
	}
	own, err := lc.TLS.Config()
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without authorities
	}
	files := []string{c.TLS.CA}
	if c.Uploads != nil {
		files = append(files, c.Uploads.CA)
	}
	for _, file := range files {
		if file == "" {
			continue
		}
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("uploads.ca: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("uploads.ca: %s: no certificate in PEM", file)
		}
	}
	hub, err := url.Parse(c.Hub)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	return &http.Client{Transport: &byHost{host: hub.Hostname(), hub: uploadTransport(own),
		other: uploadTransport(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool})}}, nil
}

func uploadTransport(c *tls.Config) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true) // HTTP/2 holds more memory for each connection
	return &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: c, Protocols: &protocols, DisableCompression: true,
		MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 30 * time.Second, WriteBufferSize: 16 << 10}
}
