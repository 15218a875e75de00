package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/thing"
	"github.com/hawser-iot/hawser/protocol/thing/tsl"
	"github.com/hawser-iot/hawser/protocol/thing/wot"
)

// thingModel is the definition as an answer. The generated type would not do: a defined type of json.RawMessage
// marshals as base64.
type thingModel struct{ *thing.Template }

func (m thingModel) write(w http.ResponseWriter) error {
	if m.Template == nil {
		m.Template = &thing.Template{}
	}
	b, err := json.Marshal(m.Template)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(b)
	return err
}

func (m thingModel) VisitGetThingModelResponse(w http.ResponseWriter) error { return m.write(w) }
func (m thingModel) VisitSetThingModelResponse(w http.ResponseWriter) error { return m.write(w) }

// VisitRestoreModelVersionResponse writes the answer.
func (m thingModel) VisitRestoreModelVersionResponse(w http.ResponseWriter) error { return m.write(w) }

func (s *server) GetThingModel(ctx context.Context, r apitype.GetThingModelRequestObject) (apitype.GetThingModelResponseObject, error) {
	p, err := s.Products.Product(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	return thingModel{p.Template}, nil
}

func (s *server) SetThingModel(ctx context.Context, r apitype.SetThingModelRequestObject) (apitype.SetThingModelResponseObject, error) {
	t, err := thing.ParseTemplate(*r.Body)
	if err == nil {
		_, err = thing.Compile(t) // so that its complaint is told apart from the store's
	}
	if err != nil {
		return nil, invalid("", "%s", plain(err.Error()))
	}
	p, err := s.Products.SetTemplate(ctx, r.ProductSN, t, onlyIf(ctx)...)
	if err != nil {
		return nil, err
	}
	return thingModel{p.Template}, nil
}

func (s *server) PublishProduct(ctx context.Context, r apitype.PublishProductRequestObject) (apitype.PublishProductResponseObject, error) {
	n := registry.Publication{By: callerOf(ctx), IfRevision: ifRevision(ctx)}
	if r.Body != nil {
		n.Note = r.Body.Note
	}
	v, err := s.Products.Publish(ctx, r.ProductSN, n)
	if err != nil {
		return nil, err
	}
	return apitype.PublishProduct200JSONResponse(versionOf(v)), nil
}

func (s *server) UnpublishProduct(ctx context.Context, r apitype.UnpublishProductRequestObject) (apitype.UnpublishProductResponseObject, error) {
	p, err := s.Products.Unpublish(ctx, r.ProductSN, onlyIf(ctx)...)
	if err != nil {
		return nil, err
	}
	return apitype.UnpublishProduct200JSONResponse(productOf(ctx, p)), nil
}

func versionOf(v registry.Version) apitype.ModelVersion {
	out := apitype.ModelVersion{Number: v.Number, PublishedAt: v.Published, PublishedBy: v.By, Note: v.Note}
	if v.Template != nil {
		out.ThingModel = v.Template.AppendJSON(nil)
	}
	return out
}

func (s *server) ListModelVersions(ctx context.Context, r apitype.ListModelVersionsRequestObject) (apitype.ListModelVersionsResponseObject, error) {
	page, err := pageOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	list, next, err := s.Products.Versions(ctx, r.ProductSN, page)
	if err != nil {
		return nil, err
	}
	items := make([]apitype.ModelVersion, len(list))
	for i := range list {
		items[i] = versionOf(list[i])
	}
	return apitype.ListModelVersions200JSONResponse{Items: items, NextCursor: next}, nil
}

func (s *server) GetModelVersion(ctx context.Context, r apitype.GetModelVersionRequestObject) (apitype.GetModelVersionResponseObject, error) {
	v, err := s.Products.Version(ctx, r.ProductSN, r.Version)
	if err != nil {
		return nil, err
	}
	return apitype.GetModelVersion200JSONResponse(versionOf(v)), nil
}

func (s *server) RestoreModelVersion(ctx context.Context, r apitype.RestoreModelVersionRequestObject) (apitype.RestoreModelVersionResponseObject, error) {
	p, err := s.Products.RestoreVersion(ctx, r.ProductSN, r.Version, onlyIf(ctx)...)
	if err != nil {
		return nil, err
	}
	return thingModel{p.Template}, nil
}

// definition is a published version, or without a number what a product has now; never nil.
func (s *server) definition(ctx context.Context, p *registry.Product, number *int64) (*thing.Template, error) {
	if number != nil {
		v, err := s.Products.Version(ctx, p.SN, *number)
		return v.Template, err
	}
	if p.Template == nil {
		return &thing.Template{}, nil
	}
	return p.Template, nil
}

func (s *server) DiffThingModel(ctx context.Context, r apitype.DiffThingModelRequestObject) (apitype.DiffThingModelResponseObject, error) {
	p, err := s.Products.Product(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	out := apitype.DiffThingModel200JSONResponse{From: valueOf(r.Params.From), To: valueOf(r.Params.To)}
	from := &thing.Template{}
	number := r.Params.From
	if number == nil {
		newest, _, err := s.Products.Versions(ctx, p.SN, registry.Page{Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(newest) > 0 {
			number, out.From = &newest[0].Number, newest[0].Number
		}
	}
	if number != nil {
		if from, err = s.definition(ctx, p, number); err != nil {
			return nil, err
		}
	}
	to, err := s.definition(ctx, p, r.Params.To)
	if err != nil {
		return nil, err
	}
	changes := thing.Diff(from, to)
	out.Changes, out.Breaking = changesOf(changes), thing.Breaking(changes)
	return out, nil
}

func changesOf(list []thing.Change) []apitype.ModelChange {
	out := make([]apitype.ModelChange, len(list))
	for i := range list {
		c := &list[i]
		out[i] = apitype.ModelChange{Kind: apitype.ModelChangeKind(c.Kind), Identifier: c.Identifier, Change: apitype.ModelChangeChange(c.Op), Breaking: c.Breaking}
		for _, f := range c.Fields {
			out[i].Fields = append(out[i].Fields, apitype.ModelFieldChange{Path: f.Path, From: f.Old, To: f.New, Breaking: f.Breaking})
		}
	}
	return out
}

func lossesOf(list thing.Losses) []apitype.ModelLoss {
	out := make([]apitype.ModelLoss, len(list))
	for i, l := range list {
		out[i] = apitype.ModelLoss{Path: l.Path, Reason: l.Reason}
	}
	return out
}

func (s *server) ExportThingModel(ctx context.Context, r apitype.ExportThingModelRequestObject) (apitype.ExportThingModelResponseObject, error) {
	p, err := s.Products.Product(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	t, err := s.definition(ctx, p, r.Params.Version)
	if err != nil {
		return nil, err
	}
	format := valueOf(r.Params.Format)
	if format == "" {
		format = apitype.Native
	}
	var document []byte
	var losses thing.Losses
	switch format {
	case apitype.Native:
		document = t.AppendJSON(nil)
	case apitype.Wrapped:
		document = t.AppendWrapped(nil)
	case apitype.Tsl:
		document, losses = tsl.Export(t, p.SN)
	case apitype.Wot:
		document, losses = wot.Export(t, p.Name)
	default:
		return nil, invalid("format", "format: must be native, wrapped, tsl or wot")
	}
	return apitype.ExportThingModel200JSONResponse{Format: format, Document: document, Losses: lossesOf(losses)}, nil
}

func (s *server) ImportThingModel(ctx context.Context, r apitype.ImportThingModelRequestObject) (apitype.ImportThingModelResponseObject, error) {
	p, err := s.Products.Product(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	format := r.Body.Format
	if format == "" {
		format = formatOf(r.Body.Document)
	}
	t, losses, err := readModel(format, r.Body.Document)
	if err != nil {
		return nil, err
	}
	before, err := s.definition(ctx, p, nil)
	if err != nil {
		return nil, err
	}
	if p.Published { // said for a dry run too
		return nil, fmt.Errorf("import a thing model: %w", registry.ErrPublished)
	}
	if !valueOf(r.Params.DryRun) {
		if _, err := s.Products.SetTemplate(ctx, p.SN, t, onlyIf(ctx)...); err != nil {
			return nil, err
		}
	}
	changes := thing.Diff(before, t)
	return apitype.ImportThingModel200JSONResponse{Format: format, ThingModel: t.AppendJSON(nil), Losses: lossesOf(losses),
		Breaking: thing.Breaking(changes), Changes: changesOf(changes)}, nil
}

// formatOf finds out the notation of a document.
func formatOf(document []byte) apitype.ModelFormat {
	var has struct {
		Context    json.RawMessage `json:"@context"`
		Template   json.RawMessage `json:"Template"`
		Services   json.RawMessage `json:"services"`
		Properties json.RawMessage `json:"properties"`
		Events     json.RawMessage `json:"events"`
	}
	_ = json.Unmarshal(document, &has) // what cannot be read is refused by the notation's own reader
	switch {
	case has.Context != nil:
		return apitype.Wot
	case has.Template != nil:
		return apitype.Wrapped
	case has.Services != nil, has.Properties != nil, has.Events != nil:
		return apitype.Tsl
	}
	return apitype.Native
}

func readModel(format apitype.ModelFormat, document []byte) (t *thing.Template, losses thing.Losses, err error) {
	switch format {
	case apitype.Native, apitype.Wrapped:
		t, err = thing.ParseTemplate(document)
	case apitype.Tsl:
		t, losses, err = tsl.Import(document)
	case apitype.Wot:
		t, losses, err = wot.Import(document)
	default:
		return nil, nil, invalid("format", "format: must be native, wrapped, tsl or wot")
	}
	if err != nil {
		return nil, nil, invalid("document", "%s", plain(err.Error()))
	}
	return t, losses, nil
}
