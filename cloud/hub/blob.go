package hub

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/blob/fileblob"
	"github.com/hawser-iot/hawser/cloud/blob/s3blob"
)

// errBlobURL says what --blob-url may be.
var errBlobURL = errors.New("--blob-url: must be empty (the folder blobs in the data folder), file:///an/absolute/path, or " +
	"s3://KEY:SECRET@host/bucket/prefix?region=…, where keys=FILE may stand for KEY:SECRET, ca=FILE names an authority, tls=off does without TLS and public=HOST:PORT is where devices reach it")

// blobPlace is what BlobURL means: a folder, or a bucket.
type blobPlace struct {
	dir    string // "" for a bucket
	bucket s3blob.Config
	// Files to be read when the bucket is opened.
	keys, ca string
}

func (c *Config) blobPlace() (blobPlace, error) {
	if c.BlobURL == "" || c.BlobURL == "file:" {
		return blobPlace{dir: filepath.Join(c.Data, "blobs")}, nil
	}
	u, err := url.Parse(c.BlobURL)
	switch {
	case err != nil: // its text would show the secret
		return blobPlace{}, errBlobURL
	case u.Scheme == "file" && u.Host == "" && filepath.IsAbs(u.Path):
		return blobPlace{dir: u.Path}, nil
	case u.Scheme == "s3":
		return bucketOf(u)
	}
	return blobPlace{}, errBlobURL
}

func bucketOf(u *url.URL) (p blobPlace, err error) {
	bucket, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	q := u.Query()
	p = blobPlace{keys: q.Get("keys"), ca: q.Get("ca"), bucket: s3blob.Config{Endpoint: u.Host, Bucket: bucket, Prefix: prefix, Region: q.Get("region"),
		Plain: q.Get("tls") == "off", Public: q.Get("public")}}
	p.bucket.AccessKey = u.User.Username()
	p.bucket.SecretKey, _ = u.User.Password()
	for name, values := range q {
		if len(values) != 1 || name != "region" && name != "public" && name != "keys" && name != "ca" && (name != "tls" || values[0] != "off") {
			return p, errBlobURL
		}
	}
	inURL := p.bucket.AccessKey != "" && p.bucket.SecretKey != ""
	if u.Host == "" || bucket == "" || u.Fragment != "" || inURL == (p.keys != "") || prefix != "" && blob.CheckName(prefix) != nil {
		return p, errBlobURL
	}
	return p, nil
}

// openBlobs opens the blob store.
func (c *Config) openBlobs(ctx context.Context) (blob.Store, error) {
	p, err := c.blobPlace()
	if err != nil {
		return nil, err
	}
	if p.dir != "" {
		s, err := fileblob.Open(p.dir)
		if err != nil {
			return nil, fmt.Errorf("--blob-url: %w", err)
		}
		return s, nil
	}
	if err := p.readFiles(); err != nil {
		return nil, fmt.Errorf("--blob-url: %w", err)
	}
	s, err := s3blob.Open(ctx, p.bucket)
	if err != nil {
		return nil, fmt.Errorf("--blob-url: %w", err)
	}
	return s, nil
}

// readFiles reads the keys, KEY:SECRET on a line, and the authority.
func (p *blobPlace) readFiles() error {
	if p.keys != "" {
		b, err := os.ReadFile(p.keys)
		if err != nil {
			return err
		}
		var ok bool
		if p.bucket.AccessKey, p.bucket.SecretKey, ok = strings.Cut(strings.TrimSpace(string(b)), ":"); !ok {
			return fmt.Errorf("%s: want KEY:SECRET", p.keys)
		}
	}
	if p.ca != "" {
		b, err := os.ReadFile(p.ca)
		if err != nil {
			return err
		}
		p.bucket.CAs = x509.NewCertPool()
		if !p.bucket.CAs.AppendCertsFromPEM(b) {
			return fmt.Errorf("%s: no certificate in PEM", p.ca)
		}
	}
	return nil
}
