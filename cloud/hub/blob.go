package hub

import (
	"fmt"
	"net/url"
	"path/filepath"
)

// blobDir is the folder that BlobURL means.
func (c *Config) blobDir() (string, error) {
	if c.BlobURL == "" || c.BlobURL == "file:" {
		return filepath.Join(c.Data, "blobs"), nil
	}
	u, err := url.Parse(c.BlobURL)
	if err != nil || u.Scheme != "file" || u.Host != "" || !filepath.IsAbs(u.Path) {
		return "", fmt.Errorf("--blob-url: must be empty (the folder blobs in the data folder) or file:///an/absolute/path")
	}
	return u.Path, nil
}
