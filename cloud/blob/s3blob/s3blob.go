// Package s3blob keeps blobs as objects in a bucket of an S3 service.
//
// The blob a/b is the object PREFIX/a/b@; the '@', which no name has, lets a blob a stand beside a blob a/b where the service keeps objects as
// files. A blob of up to a part (Config.PartSize) is put by one request, a longer one in parts, which become an object when the last one is there: a
// Put holds one part in memory. Parts of a Put that a crash has cut off are the service's to remove (a lifecycle rule for incomplete uploads).
//
// It is a blob.Multipart too: parts that come over any time, put by the hub or, with pre-signed URLs, by devices.
//
// It promises what cloud/blob does, as far as the service keeps what it has acknowledged and hands over objects whole, which S3 does. It does not
// retry: all that may pass by itself is blob.ErrUnavailable.
package s3blob

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/hawser-iot/hawser/cloud/blob"
)

const (
	suffix = "@"
	// defaultPart is Config.PartSize when it is zero, leastPart what a service takes.
	defaultPart, leastPart = 16 << 20, 5 << 20
	// idle is how long a connection without requests is kept.
	idle = 90 * time.Second
)

// Config says where the bucket is.
type Config struct {
	Endpoint             string // host, or host:port
	Bucket, Prefix       string // Prefix may be empty
	Region               string // "" is us-east-1
	AccessKey, SecretKey string
	Plain                bool // HTTP without TLS
	// Public is the host, or host:port, by which devices reach the service, when it is not Endpoint.
	Public string
	CAs    *x509.CertPool // nil: the system's
	// PartSize is how much of a blob is in memory while it is put, 16 MiB when zero, at least 5 MiB.
	PartSize int
	// Stall is how long the bytes of a request or of its answer may not move; a minute when zero.
	Stall time.Duration
}

// Store is a bucket of blobs.
type Store struct {
	core           *minio.Core
	public         *minio.Client // signs URLs for devices, and sends nothing
	transport      *http.Transport
	bucket, prefix string
	parts          sync.Pool // *[]byte, the buffers of Puts
}

var _ blob.Store = (*Store)(nil)

// Open makes a Store, and asks for the bucket: blob.ErrUnavailable when the service is away, does not know the keys or has no such bucket.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.PartSize == 0 {
		c.PartSize = defaultPart
	}
	c.PartSize = max(c.PartSize, leastPart)
	if c.Stall == 0 {
		c.Stall = time.Minute
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.CAs},
		MaxIdleConnsPerHost: 64, IdleConnTimeout: idle, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute, DisableCompression: true}
	opts := &minio.Options{Creds: credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""), Secure: !c.Plain, Region: c.Region,
		Transport: &impatient{transport, c.Stall}, BucketLookup: minio.BucketLookupAuto, MaxRetries: 1}
	core, err := minio.NewCore(c.Endpoint, opts)
	if err != nil {
		return nil, fmt.Errorf("S3 service %s: %w", c.Endpoint, err)
	}
	public := core.Client
	if c.Public != "" {
		if public, err = minio.New(c.Public, opts); err != nil {
			return nil, fmt.Errorf("S3 service as devices see it, %s: %w", c.Public, err)
		}
	}
	s := &Store{core: core, public: public, transport: transport, bucket: c.Bucket, prefix: strings.Trim(c.Prefix, "/"),
		parts: sync.Pool{New: func() any { b := make([]byte, c.PartSize); return &b }}}
	there, err := core.BucketExists(ctx, c.Bucket)
	if err == nil && !there {
		err = fmt.Errorf("%w: there is no bucket %s", blob.ErrUnavailable, c.Bucket)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("S3 service %s: %w", c.Endpoint, translate(err)), s.Close())
	}
	return s, nil
}

// Close ends idle connections.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// key is the object of a blob.
func (s *Store) key(name string) (string, error) {
	if err := blob.CheckName(name); err != nil {
		return "", err
	}
	return path.Join(s.prefix, name) + suffix, nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	key, err := s.key(name)
	if err != nil {
		return blob.Info{}, err
	}
	o, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return blob.Info{}, fmt.Errorf("stat blob %s: %w", name, translate(err))
	}
	return blob.Info{Name: name, Size: o.Size, Modified: o.LastModified}, nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	err = translate(s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{}))
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("delete blob %s: %w", name, err)
	}
	return nil
}

// Get implements blob.Store, with one request where that is possible.
func (s *Store) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Info, error) {
	key, err := s.key(name)
	if err != nil {
		return nil, blob.Info{}, err
	}
	if offset < 0 || length < -1 || length == 0 {
		return s.nothing(ctx, name, offset, length)
	}
	var opts minio.GetObjectOptions
	whole := offset == 0 && length == -1
	if !whole {
		spec := "bytes=" + strconv.FormatInt(offset, 10) + "-"
		if length > 0 {
			spec += strconv.FormatInt(offset+length-1, 10)
		}
		opts.Set("Range", spec)
	}
	body, o, head, err := s.core.GetObject(ctx, s.bucket, key, opts)
	if minio.ToErrorResponse(err).StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return s.nothing(ctx, name, offset, length)
	}
	if err != nil {
		return nil, blob.Info{}, fmt.Errorf("get blob %s: %w", name, translate(err))
	}
	info := blob.Info{Name: name, Size: o.Size, Modified: o.LastModified}
	if !whole {
		if info.Size, err = total(head.Get("Content-Range")); err != nil {
			return nil, blob.Info{}, errors.Join(fmt.Errorf("get blob %s: %w", name, err), body.Close())
		}
	}
	return body, info, nil
}

// nothing is a range that has no bytes: it is at the end of the blob, or none at all.
func (s *Store) nothing(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Info, error) {
	info, err := s.Stat(ctx, name)
	if err != nil {
		return nil, blob.Info{}, err
	}
	n, err := blob.Range(info.Size, offset, length)
	if err == nil && n > 0 {
		err = fmt.Errorf("%w: it has become longer meanwhile", blob.ErrUnavailable)
	}
	if err != nil {
		return nil, blob.Info{}, fmt.Errorf("get blob %s: %w", name, err)
	}
	return io.NopCloser(bytes.NewReader(nil)), info, nil
}

// total is the size of the whole that a Content-Range names: bytes 0-4/10.
func total(contentRange string) (int64, error) {
	_, size, _ := strings.Cut(contentRange, "/")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: the S3 service answers a range with Content-Range %q", blob.ErrUnavailable, contentRange)
	}
	return n, nil
}

// translate turns the service's errors into the contract's. What is not known may pass by itself: a service that is away, busy, or set up wrong.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, blob.ErrUnavailable), errors.Is(err, blob.ErrSize), errors.Is(err, blob.ErrRange):
		return err
	}
	r := minio.ToErrorResponse(err)
	switch {
	case r.Code == minio.NoSuchKey, r.StatusCode == http.StatusNotFound && r.Code != minio.NoSuchBucket:
		return fmt.Errorf("%w: %w", blob.ErrNotFound, err)
	case r.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w: give the hub's key read and write access to the bucket: %w", blob.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
}
