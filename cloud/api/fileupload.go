package api

import (
	"context"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/upload"
	"github.com/hawser-iot/hawser/protocol/ident"
)

func (s *server) ListUploads(ctx context.Context, r apitype.ListUploadsRequestObject) (apitype.ListUploadsResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	var device int64
	if r.Params.Device != nil {
		d, err := s.Devices.Device(ctx, ident.Device{Product: r.ProductSN, SN: *r.Params.Device})
		if err != nil {
			return nil, err
		}
		device = d.ID
	}
	limit, before, err := numberedPage(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.Files.Ongoing(ctx, r.ProductSN, device, before, limit)
	if err != nil {
		return nil, err
	}
	out := apitype.ListUploads200JSONResponse{Items: make([]apitype.Upload, len(list))}
	for i, o := range list {
		out.Items[i] = uploadOf(o)
	}
	if len(list) == limit {
		out.NextCursor = numberCursorOf(list[limit-1].ID)
	}
	return out, nil
}

func uploadOf(o *upload.Ongoing) apitype.Upload {
	return apitype.Upload{UploadID: strconv.FormatInt(o.ID, 10), DeviceSN: o.DeviceSN, Name: o.Name, Size: o.Size, Stored: o.Stored, Sha256: o.SHA256, Class: o.Class,
		ContentType: o.ContentType, PartSize: o.PartSize, Checking: o.Checking, CreatedAt: o.Begun, ProgressAt: o.Progress, ExpiresAt: o.Expires}
}

// uploadID is the device and the number of the upload that a request names.
func (s *server) uploadID(ctx context.Context, product, sn, id string) (device, n int64, err error) {
	d, err := s.Devices.Device(ctx, ident.Device{Product: product, SN: sn})
	if err != nil {
		return 0, 0, err
	}
	if n, err = strconv.ParseInt(id, 10, 64); err != nil {
		return 0, 0, upload.ErrNotFound
	}
	return d.ID, n, nil
}

func (s *server) GetUpload(ctx context.Context, r apitype.GetUploadRequestObject) (apitype.GetUploadResponseObject, error) {
	device, id, err := s.uploadID(ctx, r.ProductSN, r.DeviceSN, r.UploadID)
	if err != nil {
		return nil, err
	}
	o, err := s.Files.OngoingFile(ctx, device, id)
	if err != nil {
		return nil, err
	}
	o.DeviceSN = r.DeviceSN
	return apitype.GetUpload200JSONResponse(uploadOf(o)), nil
}

func (s *server) CancelUpload(ctx context.Context, r apitype.CancelUploadRequestObject) (apitype.CancelUploadResponseObject, error) {
	device, id, err := s.uploadID(ctx, r.ProductSN, r.DeviceSN, r.UploadID)
	if err != nil {
		return nil, err
	}
	if err := s.Files.Cancel(ctx, device, id); err != nil {
		return nil, err
	}
	return apitype.CancelUpload204Response{}, nil
}
