package actionapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/csv"
	"io"
	"math"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/upload"
)

// Files is what the API needs of the files that devices have sent.
type Files interface {
	Find(ctx context.Context, s upload.Search, offset, limit int) (list []*upload.File, total int, err error)
	File(ctx context.Context, device, id int64) (*upload.File, error)
	Content(ctx context.Context, f *upload.File) (io.ReadCloser, error)
	Delete(ctx context.Context, device, id int64) error
}

var _ Files = (*upload.Uploads)(nil)

// foreverURL is how long a URL is good when nothing is said; passwordURL that of a file of passwords.
const (
	foreverURL  = 60 * 365 * 24 * time.Hour
	passwordURL = 30 * time.Minute
)

// expiry is until when URLs of the request are good.
func (f *face) expiry(c *call) (time.Time, error) {
	s, err := c.number("URLExpire", math.MinInt32, int64(foreverURL/time.Second))
	if s <= 0 {
		return f.now().Add(foreverURL), err
	}
	return f.now().Add(time.Duration(s) * time.Second), err
}

// fileInfo is a file as answers have it.
type fileInfo struct {
	FileName               string
	FileSize               int64
	CreateTime, UpdateTime int64
	URL                    string
}

func (f *face) fileOf(c *call, one *upload.File, until time.Time) fileInfo {
	at := one.Received.Unix()
	return fileInfo{FileName: one.Name, FileSize: one.Size, CreateTime: at, UpdateTime: at,
		URL: f.url(c, ticket{Kind: ticketFile, Device: one.Device, File: one.ID, Until: until.Unix()})}
}

func (f *face) queryFileList(ctx context.Context, c *call) (any, error) {
	offset, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	until, err := f.expiry(c)
	if err != nil {
		return nil, err
	}
	search := upload.Search{Product: c.product.SN, Name: c.text("FileName")}
	if c.text("DeviceSN") != "" {
		d, err := f.device(ctx, c)
		if err != nil {
			return nil, err
		}
		search.Device = d.ID
	}
	list, total, err := f.Files.Find(ctx, search, offset, limit)
	if err != nil {
		return nil, err
	}
	out := struct {
		TotalCount int
		FileList   []fileInfo
	}{total, make([]fileInfo, len(list))}
	for i, one := range list {
		out.FileList[i] = f.fileOf(c, one, until)
	}
	return out, nil
}

// file is the newest file of the name that a request names.
func (f *face) file(ctx context.Context, c *call) (*upload.File, error) {
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	name, err := c.need("FileName")
	if err != nil {
		return nil, err
	}
	list, _, err := f.Files.Find(ctx, upload.Search{Product: c.product.SN, Device: d.ID, Name: name}, 0, 1)
	if err == nil && len(list) == 0 {
		err = upload.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

func (f *face) queryFile(ctx context.Context, c *call) (any, error) {
	one, until, err := f.fileUntil(ctx, c)
	if err != nil {
		return nil, err
	}
	return struct{ FileInfo fileInfo }{f.fileOf(c, one, until)}, nil
}

func (f *face) fileUntil(ctx context.Context, c *call) (*upload.File, time.Time, error) {
	until, err := f.expiry(c)
	if err != nil {
		return nil, until, err
	}
	one, err := f.file(ctx, c)
	return one, until, err
}

func (f *face) getFileURL(ctx context.Context, c *call) (any, error) {
	one, until, err := f.fileUntil(ctx, c)
	if err != nil {
		return nil, err
	}
	return struct{ URL string }{f.fileOf(c, one, until).URL}, nil
}

func (f *face) deleteFile(ctx context.Context, c *call) (any, error) {
	one, err := f.file(ctx, c)
	if err != nil {
		return nil, err
	}
	return nothing{}, f.Files.Delete(ctx, one.Device, one.ID)
}

// getPasswordFile gives the secrets of the devices that were never active, as a CSV file and as a URL of one.
func (f *face) getPasswordFile(ctx context.Context, c *call) (any, error) {
	table, err := f.passwords(ctx, c.product.Project, c.product.SN)
	if err != nil {
		return nil, err
	}
	return struct{ URL, Content string }{
		f.url(c, ticket{Kind: ticketPasswords, Project: c.product.Project, Product: c.product.SN, Until: f.now().Add(passwordURL).Unix()}),
		base64.StdEncoding.EncodeToString(table)}, nil
}

func (f *face) passwords(ctx context.Context, project, product string) ([]byte, error) {
	inactive := registry.Inactive
	list, err := all(registry.MaxLimit, func(page registry.Page) ([]*registry.Device, string, error) {
		return f.Devices.Devices(ctx, registry.Filter{Project: project, Product: product, State: &inactive}, page)
	})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"DeviceSN", "Password"}) // a buffer takes everything
	for _, d := range list {
		_ = w.Write([]string{d.Identity.SN, d.Secret.Reveal()})
	}
	w.Flush()
	return b.Bytes(), nil
}
