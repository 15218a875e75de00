package hub

import (
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/blob/s3blob"
)

func TestBlobPlace(t *testing.T) {
	for given, want := range map[string]blobPlace{
		"": {dir: "/data/blobs"}, "file:": {dir: "/data/blobs"}, "file:///srv/blobs": {dir: "/srv/blobs"},
		"s3://key:sec%2Fret@s3.example.com/bucket": {bucket: s3blob.Config{Endpoint: "s3.example.com", Bucket: "bucket", AccessKey: "key", SecretKey: "sec/ret"}},
		"s3://127.0.0.1:9000/b/hub/blobs?region=eu-central-1&keys=/etc/s3&ca=/etc/ca.pem&tls=off": {keys: "/etc/s3", ca: "/etc/ca.pem",
			bucket: s3blob.Config{Endpoint: "127.0.0.1:9000", Bucket: "b", Prefix: "hub/blobs", Region: "eu-central-1", Plain: true}},
	} {
		if got, err := (&Config{Data: "/data", BlobURL: given}).blobPlace(); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", given, got, err)
		}
	}
	for _, given := range []string{"ftp://h", "file://host/a", "file:a", "s3://key:hush@", "s3://key:hush@host", "s3://host/bucket", "s3://key@host/bucket",
		"s3://key:hush@host/bucket?keys=/f", "s3://key:hush@host/bucket?tls=on", "s3://key:hush@host/bucket?regoin=x", "s3://key:hush@host/bucket/a//b", "s3://key:hush@ho st/b"} {
		if got, err := (&Config{BlobURL: given}).blobPlace(); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %+v, %v", given, got, err)
		}
	}
}
