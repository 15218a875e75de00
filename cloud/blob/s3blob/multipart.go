package s3blob

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/hawser-iot/hawser/cloud/blob"
)

var _ blob.Multipart = (*Store)(nil)

const (
	checksumHeader = "X-Amz-Checksum-Sha256"
	// listMax is how many parts are listed by one request.
	listMax = 1000
)

// checked asks the service to hold each part to the SHA-256 that comes with it.
var checked = minio.PutObjectOptions{ContentType: options.ContentType, UserMetadata: map[string]string{"X-Amz-Checksum-Algorithm": "SHA256"}}

// Begin implements blob.Multipart.
func (s *Store) Begin(ctx context.Context, name string) (string, error) {
	key, err := s.key(name)
	if err != nil {
		return "", err
	}
	id, err := s.core.NewMultipartUpload(ctx, s.bucket, key, checked)
	if err != nil {
		return "", fmt.Errorf("begin blob %s: %w", name, translate(err))
	}
	return id, nil
}

// PartURL implements blob.Multipart. The checksum is a signed header: a part with another one is refused by the service.
func (s *Store) PartURL(ctx context.Context, name, id string, p blob.Part, life time.Duration) (string, http.Header, error) {
	key, err := s.key(name)
	if err != nil {
		return "", nil, err
	}
	header := http.Header{checksumHeader: {base64.StdEncoding.EncodeToString(p.SHA256[:])}, "Content-Length": {strconv.FormatInt(p.Size, 10)}}
	query := url.Values{"partNumber": {strconv.Itoa(p.No)}, "uploadId": {id}}
	u, err := s.public.PresignHeader(ctx, http.MethodPut, s.bucket, key, life, query, header)
	if err != nil {
		return "", nil, fmt.Errorf("sign part %d of blob %s: %w", p.No, name, translate(err))
	}
	header.Del("Content-Length") // every client sends it by itself, from the body
	return u.String(), header, nil
}

// PutPart implements blob.Multipart.
func (s *Store) PutPart(ctx context.Context, name, id string, p blob.Part, r io.Reader) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	header := http.Header{checksumHeader: {base64.StdEncoding.EncodeToString(p.SHA256[:])}}
	_, err = s.core.PutObjectPart(ctx, s.bucket, key, id, p.No, r, p.Size,
		minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(p.SHA256[:]), CustomHeader: header})
	if err != nil {
		return fmt.Errorf("put part %d of blob %s: %w", p.No, name, translate(err))
	}
	return nil
}

// Parts implements blob.Multipart.
func (s *Store) Parts(ctx context.Context, name, id string) (list []blob.Part, err error) {
	key, err := s.key(name)
	if err != nil {
		return nil, err
	}
	for after := 0; ; {
		page, err := s.core.ListObjectParts(ctx, s.bucket, key, id, after, listMax)
		if err != nil {
			return nil, fmt.Errorf("list parts of blob %s: %w", name, translate(err))
		}
		for _, o := range page.ObjectParts {
			p := blob.Part{No: o.PartNumber, Size: o.Size, Tag: o.ETag}
			if sum, err := base64.StdEncoding.DecodeString(o.ChecksumSHA256); err == nil && len(sum) == sha256.Size {
				p.SHA256 = [32]byte(sum)
			}
			list = append(list, p)
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= after {
			return list, nil
		}
		after = page.NextPartNumberMarker
	}
}

// Assemble implements blob.Multipart.
func (s *Store) Assemble(ctx context.Context, name, id string, parts []blob.Part) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	list := make([]minio.CompletePart, len(parts))
	for i, p := range parts {
		list[i] = minio.CompletePart{PartNumber: p.No, ETag: p.Tag, ChecksumSHA256: base64.StdEncoding.EncodeToString(p.SHA256[:])}
	}
	if _, err = s.core.CompleteMultipartUpload(ctx, s.bucket, key, id, list, minio.PutObjectOptions{}); err != nil {
		return fmt.Errorf("assemble blob %s: %w", name, translate(err))
	}
	return nil
}

// Abort implements blob.Multipart.
func (s *Store) Abort(ctx context.Context, name, id string) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	err = translate(s.core.AbortMultipartUpload(ctx, s.bucket, key, id))
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("abort blob %s: %w", name, err)
	}
	return nil
}
