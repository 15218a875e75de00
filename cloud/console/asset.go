package console

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// dist is the build: index.html as it is, everything else twice, compressed with gzip and with Brotli.
//
//go:embed all:dist
var dist embed.FS

// assetFolder is where files are whose names have a hash of what is in them.
const assetFolder = "assets/"

// asset is a file of the build.
type asset struct {
	contentType string
	immutable   bool
	gzip, br    []byte
}

// load reads a build below the folder dist.
func load(build fs.FS) (files map[string]*asset, index []byte, err error) {
	files = map[string]*asset{}
	err = fs.WalkDir(build, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(build, name)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "dist/")
		if name == "index.html" {
			index = b
			return nil
		}
		return add(files, name, b)
	})
	switch {
	case err != nil:
		return nil, nil, err
	case !bytes.Contains(index, []byte(noncePlace)):
		return nil, nil, errors.New("the build has no page: run make console")
	}
	for name, a := range files {
		if a.gzip == nil || a.br == nil {
			return nil, nil, fmt.Errorf("%s: must be there as .gz and as .br: run make console", name)
		}
	}
	return files, index, nil
}

func add(files map[string]*asset, name string, b []byte) error {
	ext := path.Ext(name)
	name = strings.TrimSuffix(name, ext)
	a := files[name]
	if a == nil {
		a = &asset{contentType: typeOf(name), immutable: strings.HasPrefix(name, assetFolder)}
		files[name] = a
	}
	switch ext {
	case ".gz":
		a.gzip = b
	case ".br":
		a.br = b
	default:
		return fmt.Errorf("%s%s: is neither .gz nor .br", name, ext)
	}
	return nil
}

// typeOf does not ask the system, whose tables differ.
func typeOf(name string) string {
	switch ext := path.Ext(name); ext {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		if t := mime.TypeByExtension(ext); t != "" {
			return t
		}
		return "application/octet-stream"
	}
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox") // an image opened by itself
	h.Set("Cache-Control", "no-cache")
	if a.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	switch encodings := r.Header.Get("Accept-Encoding"); {
	case accepts(encodings, "br"):
		h.Set("Content-Encoding", "br")
		a.write(w, r, a.br)
	case accepts(encodings, "gzip"):
		h.Set("Content-Encoding", "gzip")
		a.write(w, r, a.gzip)
	default:
		plain, err := a.plain()
		if err != nil {
			http.Error(w, "damaged", http.StatusInternalServerError)
			return
		}
		a.write(w, r, plain)
	}
}

func (a *asset) write(w http.ResponseWriter, r *http.Request, b []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) // the reader may have gone
	}
}

// plain is the file as it was before it was compressed.
func (a *asset) plain() ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(a.gzip))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// accepts tells whether a header Accept-Encoding has the coding, and not with a weight of 0.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, rest, _ := strings.Cut(strings.TrimSpace(part), ";")
		if !strings.EqualFold(strings.TrimSpace(name), coding) {
			continue
		}
		weight := strings.TrimPrefix(strings.ReplaceAll(rest, " ", ""), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		return rest == "" || err == nil && q > 0
	}
	return false
}
