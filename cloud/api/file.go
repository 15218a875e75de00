package api

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/upload"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Files is what the API needs of the files that devices have sent.
type Files interface {
	Files(ctx context.Context, device, before int64, limit int) ([]*upload.File, error)
	File(ctx context.Context, device, id int64) (*upload.File, error)
	// Range reads n bytes from an offset on.
	Range(ctx context.Context, f *upload.File, from, n int64) (io.ReadCloser, error)
	Link(f *upload.File, life time.Duration) (url string, until time.Time)
	Search(ctx context.Context, s upload.Search, before int64, limit int) ([]*upload.File, error)
	Policy(ctx context.Context, product string) (upload.Policy, error)
	SetPolicy(ctx context.Context, product string, p upload.Policy) error
	Delete(ctx context.Context, device, id int64) error
	Ongoing(ctx context.Context, product string, device, before int64, limit int) ([]*upload.Ongoing, error)
	OngoingFile(ctx context.Context, device, id int64) (*upload.Ongoing, error)
	Cancel(ctx context.Context, device, id int64) error
}

var _ Files = (*upload.Uploads)(nil)

func (s *server) ListFiles(ctx context.Context, r apitype.ListFilesRequestObject) (apitype.ListFilesResponseObject, error) {
	d, err := s.Devices.Device(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN})
	if err != nil {
		return nil, err
	}
	limit, before, err := numberedPage(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.Files.Files(ctx, d.ID, before, limit)
	if err != nil {
		return nil, err
	}
	out := apitype.ListFiles200JSONResponse{Items: make([]apitype.File, len(list))}
	for i, f := range list {
		out.Items[i] = fileOf(f)
	}
	if len(list) == limit {
		out.NextCursor = numberCursorOf(list[limit-1].ID)
	}
	return out, nil
}

// numberedPage is a page of a list whose cursors are ids.
func numberedPage(limit *int, cursor *string) (n int, at int64, err error) {
	page, err := pageOf(limit, nil)
	if err != nil {
		return 0, 0, err
	}
	if page.Limit == 0 {
		page.Limit = registry.DefaultLimit
	}
	at, err = numberCursor(cursor)
	return page.Limit, at, err
}

func fileOf(f *upload.File) apitype.File {
	return apitype.File{FileID: strconv.FormatInt(f.ID, 10), Name: f.Name, Size: f.Size, Md5: f.MD5, Sha256: f.SHA256, Class: f.Class, ContentType: f.ContentType,
		ReceivedAt: f.Received, ExpiresAt: f.Expires}
}

// file is the file that a request names.
func (s *server) file(ctx context.Context, product, sn, id string) (*upload.File, error) {
	d, err := s.Devices.Device(ctx, ident.Device{Product: product, SN: sn})
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, upload.ErrNotFound
	}
	return s.Files.File(ctx, d.ID, n)
}

func (s *server) GetFile(ctx context.Context, r apitype.GetFileRequestObject) (apitype.GetFileResponseObject, error) {
	f, err := s.file(ctx, r.ProductSN, r.DeviceSN, r.FileID)
	if err != nil {
		return nil, err
	}
	return apitype.GetFile200JSONResponse(fileOf(f)), nil
}

func (s *server) DeleteFile(ctx context.Context, r apitype.DeleteFileRequestObject) (apitype.DeleteFileResponseObject, error) {
	f, err := s.file(ctx, r.ProductSN, r.DeviceSN, r.FileID)
	if err != nil {
		return nil, err
	}
	if err := s.Files.Delete(ctx, f.Device, f.ID); err != nil {
		return nil, err
	}
	return apitype.DeleteFile204Response{}, nil
}

func (s *server) GetFileContent(ctx context.Context, r apitype.GetFileContentRequestObject) (apitype.GetFileContentResponseObject, error) {
	f, err := s.file(ctx, r.ProductSN, r.DeviceSN, r.FileID)
	if err != nil {
		return nil, err
	}
	spec := ""
	if r.Params.Range != nil {
		spec = *r.Params.Range
	}
	from, n, partial := rangeOf(spec, f.Size)
	if n < 0 {
		return nil, problem{status: http.StatusRequestedRangeNotSatisfiable, code: "invalid", field: "Range", detail: fmt.Sprintf("the file has %d bytes", f.Size)}
	}
	body, err := s.Files.Range(ctx, f, from, n)
	if err != nil {
		return nil, err
	}
	if !partial {
		return apitype.GetFileContent200ApplicationOctetStreamResponse{Body: body, ContentLength: f.Size,
			Headers: apitype.GetFileContent200ResponseHeaders{AcceptRanges: "bytes", ContentDisposition: "attachment"}}, nil
	}
	return apitype.GetFileContent206ApplicationOctetStreamResponse{Body: body, ContentLength: n,
		Headers: apitype.GetFileContent206ResponseHeaders{ContentDisposition: "attachment", ContentRange: fmt.Sprintf("bytes %d-%d/%d", from, from+n-1, f.Size)}}, nil
}

// rangeOf reads a Range header for size bytes. What is no single range is the whole; n is below 0 for one that begins past the end.
func rangeOf(header string, size int64) (from, n int64, partial bool) {
	spec, found := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	a, errA := strconv.ParseUint(first, 10, 63)
	b, errB := strconv.ParseUint(last, 10, 63)
	switch {
	case !found || !dash || first == "" && last == "" || first != "" && errA != nil || last != "" && errB != nil || first != "" && last != "" && b < a:
		return 0, size, false
	case first == "": // the last b bytes
		b = min(b, uint64(size))
		if b == 0 {
			return 0, -1, false
		}
		return size - int64(b), int64(b), true
	case int64(a) >= size:
		return 0, -1, false
	case last == "" || int64(b) >= size:
		b = uint64(size - 1)
	}
	return int64(a), int64(b-a) + 1, true
}

func (s *server) GetFileLink(ctx context.Context, r apitype.GetFileLinkRequestObject) (apitype.GetFileLinkResponseObject, error) {
	f, err := s.file(ctx, r.ProductSN, r.DeviceSN, r.FileID)
	if err != nil {
		return nil, err
	}
	life := time.Hour
	if n := r.Params.Seconds; n != nil {
		if *n < 1 || *n > int64(upload.MaxLinkLife/time.Second) {
			return nil, invalid("seconds", "must be 1 to %d", upload.MaxLinkLife/time.Second)
		}
		life = time.Duration(*n) * time.Second
	}
	url, until := s.Files.Link(f, life)
	return apitype.GetFileLink200JSONResponse{URL: url, ExpiresAt: until}, nil
}

func (s *server) SearchFiles(ctx context.Context, r apitype.SearchFilesRequestObject) (apitype.SearchFilesResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	q, p := upload.Search{Product: r.ProductSN}, &r.Params
	if p.Device != nil {
		d, err := s.Devices.Device(ctx, ident.Device{Product: r.ProductSN, SN: *p.Device})
		if err != nil {
			return nil, err
		}
		q.Device = d.ID
	}
	for _, v := range []struct{ to, from *string }{{&q.Pattern, p.Name}, {&q.Class, p.Class}} {
		if v.from != nil {
			*v.to = *v.from
		}
	}
	if p.From != nil {
		q.From = *p.From
	}
	if p.To != nil {
		q.To = *p.To
	}
	q.MinSize, q.MaxSize = p.MinSize, p.MaxSize
	limit, before, err := numberedPage(p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.Files.Search(ctx, q, before, limit)
	if err != nil {
		return nil, err
	}
	out := apitype.SearchFiles200JSONResponse{Items: make([]apitype.File, len(list))}
	for i, f := range list {
		out.Items[i] = fileOf(f)
		out.Items[i].DeviceSN = f.DeviceSN
	}
	if len(list) == limit {
		out.NextCursor = numberCursorOf(list[limit-1].ID)
	}
	return out, nil
}

func policyOf(p upload.Policy) apitype.FilePolicy {
	keep := int64(p.Keep / time.Second)
	if p.Keep < 0 {
		keep = -1
	}
	return apitype.FilePolicy{MaxSize: p.MaxSize, MaxFiles: p.MaxFiles, MaxBytes: p.MaxBytes, ProductBytes: p.ProductBytes, KeepSeconds: keep,
		Classes: append([]string{}, p.Classes...)}
}

func (s *server) GetFilePolicy(ctx context.Context, r apitype.GetFilePolicyRequestObject) (apitype.GetFilePolicyResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	p, err := s.Files.Policy(ctx, r.ProductSN)
	return apitype.GetFilePolicy200JSONResponse(policyOf(p)), err
}

func (s *server) SetFilePolicy(ctx context.Context, r apitype.SetFilePolicyRequestObject) (apitype.SetFilePolicyResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	b := r.Body
	if b.KeepSeconds > int64(math.MaxInt64/time.Second) {
		return nil, invalid("keepSeconds", "more than a Go duration holds")
	}
	p := upload.Policy{MaxSize: b.MaxSize, MaxFiles: b.MaxFiles, MaxBytes: b.MaxBytes, ProductBytes: b.ProductBytes,
		Keep: time.Duration(b.KeepSeconds) * time.Second, Classes: b.Classes}
	if err := s.Files.SetPolicy(ctx, r.ProductSN, p); err != nil {
		return nil, err
	}
	return apitype.SetFilePolicy200JSONResponse(policyOf(p)), nil
}
