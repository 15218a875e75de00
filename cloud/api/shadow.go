package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/shadow"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
)

// Shadows is what the API needs of the shadows.
type Shadows interface {
	Get(ctx context.Context, dev ident.Device) (*shadowdoc.Document, error)
	Desire(ctx context.Context, dev ident.Device, w shadow.Wish) (*shadowdoc.Document, error)
	Delete(ctx context.Context, dev ident.Device, ifRevision *int64, by shadow.By) error
	Changes(ctx context.Context, dev ident.Device, before int64, limit int) ([]shadow.Change, error)
}

var _ Shadows = (*shadow.Shadows)(nil)

// by is the caller as a shadow's history names it.
func by(ctx context.Context) shadow.By {
	p := account.From(ctx)
	switch {
	case p == nil:
		return shadow.By{}
	case p.Kind == account.KindUser:
		return shadow.By{Actor: shadow.ActorUser, Name: p.ID}
	}
	return shadow.By{Actor: shadow.ActorKey, Name: p.ID}
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
	d, err := s.Shadows.Desire(ctx, dev, shadow.Wish{Desired: desired, Merge: r.Body.Merge, IfRevision: ifRevision(ctx), By: by(ctx)})
	if err != nil {
		return nil, err
	}
	body, err := shadowOf(dev, d)
	if err != nil {
		return nil, err
	}
	return apitype.UpdateShadow200JSONResponse{Body: body, Headers: apitype.UpdateShadow200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

func (s *server) ResetShadow(ctx context.Context, r apitype.ResetShadowRequestObject) (apitype.ResetShadowResponseObject, error) {
	if err := s.Shadows.Delete(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN}, ifRevision(ctx), by(ctx)); err != nil {
		return nil, err
	}
	return apitype.ResetShadow204Response{}, nil
}

func (s *server) ListShadowChanges(ctx context.Context, r apitype.ListShadowChangesRequestObject) (apitype.ListShadowChangesResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	page, err := limitOf(r.Params.Limit, nil)
	if err != nil {
		return nil, err
	}
	before, err := numberCursor(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.Shadows.Changes(ctx, d.Identity, before, page.Limit)
	if err != nil {
		return nil, err
	}
	out := apitype.ListShadowChanges200JSONResponse{Items: make([]apitype.ShadowChange, len(list))}
	for i, c := range list {
		out.Items[i] = apitype.ShadowChange{Revision: c.Revision, Version: c.Version, At: c.At, By: apitype.ShadowChangeBy(c.By.Actor.String()),
			Name: c.By.Name, Change: c.What}
	}
	if len(list) == page.Limit {
		out.NextCursor = numberCursorOf(list[len(list)-1].Revision)
	}
	return out, nil
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
