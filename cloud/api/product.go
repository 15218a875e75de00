package api

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/thing"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Products is what the API needs of the registry for products.
type Products interface {
	Product(ctx context.Context, sn string) (*registry.Product, error)
	CreateProduct(ctx context.Context, n registry.NewProduct) (*registry.Product, error)
	UpdateProduct(ctx context.Context, sn string, u registry.ProductUpdate) (*registry.Product, error)
	DeleteProduct(ctx context.Context, sn string, only ...registry.IfRevision) error
	SetTemplate(ctx context.Context, sn string, t *thing.Template, only ...registry.IfRevision) (*registry.Product, error)
	Publish(ctx context.Context, sn string, n registry.Publication) (registry.Version, error)
	Unpublish(ctx context.Context, sn string, only ...registry.IfRevision) (*registry.Product, error)
	Versions(ctx context.Context, sn string, page registry.Page) ([]registry.Version, string, error)
	Version(ctx context.Context, sn string, number int64) (registry.Version, error)
	RestoreVersion(ctx context.Context, sn string, number int64, only ...registry.IfRevision) (*registry.Product, error)
	SetTopics(ctx context.Context, sn string, topics []topic.Template, only ...registry.IfRevision) (*registry.Product, error)
}

func (s *server) ListProducts(ctx context.Context, r apitype.ListProductsRequestObject) (apitype.ListProductsResponseObject, error) {
	p := r.Params
	q, err := listQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, page, err := s.Catalog.Products(ctx, account.From(ctx).Within(), among(ctx, account.ProductRead), q)
	if err != nil {
		return nil, err
	}
	items := each(list, func(p *registry.Product) apitype.Product { return productOf(ctx, p) })
	return apitype.ListProducts200JSONResponse{Items: items, NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}, nil
}

// pageOf reads the parameters that every list has.
func pageOf(limit *int, cursor *string) (registry.Page, error) {
	var page registry.Page
	if limit != nil {
		if *limit < 1 || *limit > registry.MaxLimit {
			return page, invalid("limit", "limit: must be 1 to %d", registry.MaxLimit)
		}
		page.Limit = *limit
	}
	if cursor != nil {
		page.Cursor = *cursor
	}
	return page, nil
}

func (s *server) CreateProduct(ctx context.Context, r apitype.CreateProductRequestObject) (apitype.CreateProductResponseObject, error) {
	b := r.Body
	p, err := s.Products.CreateProduct(ctx, registry.NewProduct{
		Name: b.Name, Description: b.Description, Kind: registry.Kind(b.Kind),
		DynamicRegister: b.DynamicRegister, PreRegister: b.PreRegister, NoShadow: b.Shadow != nil && !*b.Shadow, Project: account.From(ctx).Project,
		Settings: settingsFrom(b.Settings),
	})
	if err != nil {
		return nil, err
	}
	return apitype.CreateProduct201JSONResponse(productOf(ctx, p)), nil
}

func (s *server) GetProduct(ctx context.Context, r apitype.GetProductRequestObject) (apitype.GetProductResponseObject, error) {
	p, err := s.Products.Product(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	return apitype.GetProduct200JSONResponse(productOf(ctx, p)), nil
}

func (s *server) UpdateProduct(ctx context.Context, r apitype.UpdateProductRequestObject) (apitype.UpdateProductResponseObject, error) {
	b := r.Body
	u := registry.ProductUpdate{Name: b.Name, Description: b.Description,
		DynamicRegister: b.DynamicRegister, PreRegister: b.PreRegister, Shadow: b.Shadow, Published: b.Published, By: callerOf(ctx),
		IfRevision: ifRevision(ctx)}
	if b.Settings != nil {
		settings := settingsFrom(*b.Settings)
		u.Settings = &settings
	}
	p, err := s.Products.UpdateProduct(ctx, r.ProductSN, u)
	if err != nil {
		return nil, err
	}
	return apitype.UpdateProduct200JSONResponse(productOf(ctx, p)), nil
}

func (s *server) DeleteProduct(ctx context.Context, r apitype.DeleteProductRequestObject) (apitype.DeleteProductResponseObject, error) {
	if err := s.Products.DeleteProduct(ctx, r.ProductSN, onlyIf(ctx)...); err != nil {
		return nil, err
	}
	return apitype.DeleteProduct204Response{}, nil
}

func (s *server) RevealProduct(ctx context.Context, r apitype.RevealProductRequestObject) (apitype.RevealProductResponseObject, error) {
	p, err := s.Products.Product(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	return apitype.RevealProduct200JSONResponse(productOf(ctx, p)), nil
}

func productOf(ctx context.Context, p *registry.Product) apitype.Product {
	out := apitype.Product{ProductSN: p.SN, Name: p.Name, Description: p.Description, Kind: apitype.ProductKind(p.Kind),
		DynamicRegister: p.DynamicRegister, PreRegister: p.PreRegister, Shadow: p.Shadow, Published: p.Published,
		Settings: settingsOf(p.Settings), Project: p.Project, Revision: p.Revision, CreatedAt: p.Created, UpdatedAt: p.Updated}
	if seesSecrets(ctx, p.SN) {
		out.ProductSecret = p.Secret.Reveal()
	}
	return out
}

func settingsFrom(s apitype.ProductSettings) registry.Settings {
	return registry.Settings{PublishRate: s.PublishRate, PublishBytes: s.PublishBytes, MaxPacket: s.MaxPacket, MaxSubscriptions: s.MaxSubscriptions,
		QoS2: s.Qos2, Retain: s.Retain, Will: s.Will, ShadowMerge: s.ShadowMerge, SubdeviceProof: s.SubdeviceProof, SubdeviceConsent: s.SubdeviceConsent, MessageLog: s.MessageLog,
		HistoryDays: s.HistoryDays, HistoryCount: s.HistoryCount}
}

func settingsOf(s registry.Settings) apitype.ProductSettings {
	return apitype.ProductSettings{PublishRate: s.PublishRate, PublishBytes: s.PublishBytes, MaxPacket: s.MaxPacket, MaxSubscriptions: s.MaxSubscriptions,
		Qos2: s.QoS2, Retain: s.Retain, Will: s.Will, ShadowMerge: s.ShadowMerge, SubdeviceProof: s.SubdeviceProof, SubdeviceConsent: s.SubdeviceConsent, MessageLog: s.MessageLog,
		HistoryDays: s.HistoryDays, HistoryCount: s.HistoryCount}
}

// permissions are the directions of a custom topic by their names on the API.
var permissions = map[apitype.TopicPermission]topic.Direction{apitype.Pub: topic.Pub, apitype.Sub: topic.Sub, apitype.Pubsub: topic.PubSub}

func topicsOf(list []topic.Template) apitype.TopicList {
	items := make([]apitype.Topic, len(list))
	for i, t := range list {
		items[i].Path, items[i].Description = t.Path, t.Description
		for name, perm := range permissions {
			if perm == t.Perm {
				items[i].Permission = name
			}
		}
	}
	return apitype.TopicList{Items: items}
}

func (s *server) GetTopics(ctx context.Context, r apitype.GetTopicsRequestObject) (apitype.GetTopicsResponseObject, error) {
	p, err := s.Products.Product(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	return apitype.GetTopics200JSONResponse(topicsOf(p.Topics)), nil
}

func (s *server) SetTopics(ctx context.Context, r apitype.SetTopicsRequestObject) (apitype.SetTopicsResponseObject, error) {
	list := make([]topic.Template, len(r.Body.Items))
	for i, t := range r.Body.Items {
		perm, ok := permissions[t.Permission]
		if !ok {
			return nil, invalid("permission", `permission of %q: must be "pub", "sub" or "pubsub"`, t.Path)
		}
		list[i] = topic.Template{Path: t.Path, Perm: perm, Description: t.Description}
	}
	p, err := s.Products.SetTopics(ctx, r.ProductSN, list, onlyIf(ctx)...)
	if err != nil {
		return nil, err
	}
	return apitype.SetTopics200JSONResponse(topicsOf(p.Topics)), nil
}
