package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
)

// Shadows is what the API needs of the shadows.
type Shadows interface {
	Get(ctx context.Context, dev ident.Device) (*shadowdoc.Document, error)
	Desire(ctx context.Context, dev ident.Device, desired []byte, ifRevision *int64) (*shadowdoc.Document, error)
}

func (s *server) GetShadow(ctx context.Context, r apitype.GetShadowRequestObject) (apitype.GetShadowResponseObject, error) {
	dev := ident.Device{Product: r.ProductSN, SN: r.DeviceSN}
	d, err := s.Shadows.Get(ctx, dev)
	if err != nil {
		return nil, err
	}
	body, err := shadowOf(dev, d)
	if err != nil {
		return nil, err
	}
	return apitype.GetShadow200JSONResponse{Body: body, Headers: apitype.GetShadow200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

func (s *server) UpdateShadow(ctx context.Context, r apitype.UpdateShadowRequestObject) (apitype.UpdateShadowResponseObject, error) {
	dev := ident.Device{Product: r.ProductSN, SN: r.DeviceSN}
	desired := r.Body.State.Desired
	if desired == nil {
		desired = r.Body.Desired
	}
	if desired == nil {
		return nil, invalid("state.desired", "state.desired: is missing")
	}
	d, err := s.Shadows.Desire(ctx, dev, desired, ifRevision(ctx))
	if err != nil {
		return nil, err
	}
	body, err := shadowOf(dev, d)
	if err != nil {
		return nil, err
	}
	return apitype.UpdateShadow200JSONResponse{Body: body, Headers: apitype.UpdateShadow200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

func etag(revision int64) string { return strconv.Quote(strconv.FormatInt(revision, 10)) }

// shadowOf rewrites the document's own form with the API's names. Values stay as they are.
func shadowOf(dev ident.Device, d *shadowdoc.Document) (apitype.Shadow, error) {
	var doc struct {
		State, Metadata struct{ Reported, Desired json.RawMessage }
	}
	if err := json.Unmarshal(d.AppendDocument(nil), &doc); err != nil {
		return apitype.Shadow{}, fmt.Errorf("api: shadow of %s: %w", dev, err)
	}
	metadata := fmt.Appendf(nil, `{"reported":%s,"desired":%s}`, orEmpty(doc.Metadata.Reported), orEmpty(doc.Metadata.Desired))
	return apitype.Shadow{ProductSN: dev.Product, DeviceSN: dev.SN,
		State:    apitype.ShadowState{Reported: orEmpty(doc.State.Reported), Desired: orEmpty(doc.State.Desired)},
		Metadata: metadata, Version: d.Version, Revision: d.Revision, Timestamp: d.Timestamp}, nil
}

func orEmpty(object json.RawMessage) json.RawMessage {
	if len(object) == 0 || string(object) == "null" {
		return json.RawMessage("{}")
	}
	return object
}
