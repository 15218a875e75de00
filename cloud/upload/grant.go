package upload

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
)

// NewFile is what a device wants to send.
type NewFile struct {
	Name        string
	Size        int64
	MD5         string // hex
	ContentType string
}

// Grant is a permission to send a file: to URL, with Authorization.
type Grant struct{ URL, Authorization string }

const (
	defaultType = "application/octet-stream"
	maxType     = 100
)

var insertFile = store.NewStmt(`INSERT INTO device_file (id, device, product, name, size, md5, content_type, created_at, expires_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`)

// Grant lets a device send a file. Errors are *uplink.Refusal, which says to the device what is wrong, or the store's.
func (u *Uploads) Grant(ctx context.Context, dev *registry.Device, n NewFile) (Grant, error) {
	l, err := u.limits(ctx, dev.Identity.Product)
	if err != nil {
		return Grant{}, err
	}
	f, err := u.check(&n, l.MaxSize)
	if err != nil {
		return Grant{}, err
	}
	unlock, err := u.devices.lock(ctx, dev.ID) // else many that ask at once would each find room
	if err != nil {
		return Grant{}, err
	}
	defer unlock()
	if err := u.fits(ctx, l, dev, n.Size); err != nil {
		return Grant{}, err
	}
	now := u.now()
	f.ID, f.Device, f.Product, f.Expires = int64(u.IDs.Next()), dev.ID, dev.Identity.Product, now.Add(u.cfg.GrantLife)
	err = u.Store.Do(ctx, &store.Unit{Device: dev.ID, Ops: []store.Op{insertFile.Op(f.ID, f.Device, f.Product, f.Name, f.Size, f.MD5, f.ContentType,
		now.UnixMilli(), f.Expires.UnixMilli())}})
	if err != nil {
		return Grant{}, fmt.Errorf("upload: note permission: %w", err)
	}
	link := shortlink.Link{Kind: shortlink.Upload, ID: f.ID, Until: f.Expires}
	return Grant{URL: u.Links.URL(link), Authorization: u.Links.Secret(u.Links.Token(link))}, nil
}

// check reads what the device says about its file.
func (u *Uploads) check(n *NewFile, most int64) (*File, error) {
	md5 := strings.ToLower(n.MD5)
	sum, err := hex.DecodeString(md5)
	if n.ContentType == "" {
		n.ContentType = defaultType
	}
	switch {
	case n.Name == "" || n.MD5 == "":
		return nil, u.refuse(message.CodeMissing, "FileName or MD5 is missing")
	case !goodName(n.Name):
		return nil, u.refuse(message.CodeBad, fmt.Sprintf("FileName must be text of at most %d bytes", maxName))
	case err != nil || len(sum) != 16:
		return nil, u.refuse(message.CodeBad, "MD5 must be 32 hex digits")
	case n.Size < 1 || n.Size > most:
		return nil, u.refuse(message.CodeRange, fmt.Sprintf("FileSize must be 1 to %d", most))
	case len(n.ContentType) > maxType || !goodName(n.ContentType):
		return nil, u.refuse(message.CodeBad, "Content-Type is malformed")
	}
	return &File{Name: n.Name, Size: n.Size, MD5: md5, ContentType: n.ContentType}, nil
}
