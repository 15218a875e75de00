package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/script"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Scripts is what the API needs of the parse scripts.
type Scripts interface {
	Get(ctx context.Context, product string) (*script.Script, error)
	Set(ctx context.Context, product string, c script.Change) (*script.Script, error)
	Delete(ctx context.Context, product string, c script.Change) error
	Versions(ctx context.Context, product string) ([]*script.Script, error)
	Version(ctx context.Context, product string, revision int64) (*script.Script, error)
	Try(ctx context.Context, product string, t script.Trial) (*script.Outcome, error)
	Encode(ctx context.Context, product, topicName string, payload []byte) (raw []byte, ok bool, err error)
}

func (s *server) GetScript(ctx context.Context, r apitype.GetScriptRequestObject) (apitype.GetScriptResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	found, err := s.Scripts.Get(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	return apitype.GetScript200JSONResponse(scriptOf(found)), nil
}

func (s *server) SetScript(ctx context.Context, r apitype.SetScriptRequestObject) (apitype.SetScriptResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	stored, err := s.Scripts.Set(ctx, r.ProductSN, script.Change{Source: r.Body.Source, Note: r.Body.Note, By: callerOf(ctx), IfRevision: ifRevision(ctx)})
	if err != nil {
		return nil, err
	}
	return apitype.SetScript200JSONResponse(scriptOf(stored)), nil
}

func (s *server) DeleteScript(ctx context.Context, r apitype.DeleteScriptRequestObject) (apitype.DeleteScriptResponseObject, error) {
	if err := s.Scripts.Delete(ctx, r.ProductSN, script.Change{By: callerOf(ctx), IfRevision: ifRevision(ctx)}); err != nil {
		return nil, err
	}
	return apitype.DeleteScript204Response{}, nil
}

func (s *server) ListScriptVersions(ctx context.Context, r apitype.ListScriptVersionsRequestObject) (apitype.ListScriptVersionsResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	list, err := s.Scripts.Versions(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	items := make([]apitype.Script, len(list))
	for i := range list {
		items[i] = scriptOf(list[i])
	}
	return apitype.ListScriptVersions200JSONResponse{Items: items}, nil
}

func (s *server) GetScriptVersion(ctx context.Context, r apitype.GetScriptVersionRequestObject) (apitype.GetScriptVersionResponseObject, error) {
	v, err := s.Scripts.Version(ctx, r.ProductSN, r.Revision)
	if err != nil {
		return nil, err
	}
	return apitype.GetScriptVersion200JSONResponse(scriptOf(v)), nil
}

func (s *server) TryScript(ctx context.Context, r apitype.TryScriptRequestObject) (apitype.TryScriptResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	t, err := trialOf(r.ProductSN, r.Body)
	if err != nil {
		return nil, err
	}
	o, err := s.Scripts.Try(ctx, r.ProductSN, t)
	if err != nil {
		return nil, err
	}
	out := apitype.TryScript200JSONResponse{Console: o.Console, CPUMicroseconds: o.CPU.Microseconds(), DurationMicroseconds: o.Wall.Microseconds(), MemoryBytes: o.Memory}
	switch {
	case o.Fault != nil:
		out.Error = apitype.ScriptError{Kind: apitype.ScriptErrorKind(o.Fault.Kind), Line: o.Fault.Line, Column: o.Fault.Column, Reason: o.Fault.Reason}
	case t.Down:
		out.RawHex = hex.EncodeToString(o.Result)
	default:
		out.Object = o.Result
	}
	return out, nil
}

func scriptOf(s *script.Script) apitype.Script {
	out := apitype.Script{Revision: s.Revision, Source: s.Source, Functions: []apitype.ScriptFunctions{}, Note: s.Note, ChangedBy: s.By, ChangedAt: s.At}
	if s.Up {
		out.Functions = append(out.Functions, apitype.RawDataToJSON)
	}
	if s.Down {
		out.Functions = append(out.Functions, apitype.JSONToRawData)
	}
	return out
}

// trialOf reads what is to be tried.
func trialOf(product string, b *apitype.ScriptTrial) (script.Trial, error) {
	t := script.Trial{Topic: b.Topic, Down: len(b.Object) > 0}
	if b.Source != "" {
		t.Source = &b.Source
	}
	given := 0
	for _, payload := range []string{b.PayloadHex, b.PayloadBase64, b.Payload, string(b.Object)} {
		if payload != "" {
			given++
		}
	}
	if given > 1 {
		return t, invalid("payload", "payload: give one of payloadHex, payloadBase64, payload and object")
	}
	short, err := "upload", error(nil)
	switch {
	case t.Down:
		t.Payload, short = b.Object, "set"
	case b.PayloadHex != "":
		if t.Payload, err = hex.DecodeString(strings.Join(strings.Fields(b.PayloadHex), "")); err != nil {
			return t, invalid("payloadHex", "payloadHex: is not hex digits: %v", err)
		}
	case b.PayloadBase64 != "":
		if t.Payload, err = base64.StdEncoding.DecodeString(b.PayloadBase64); err != nil {
			return t, invalid("payloadBase64", "payloadBase64: is not base64: %v", err)
		}
	default:
		t.Payload = []byte(b.Payload)
	}
	if t.Topic == "" {
		t.Topic = topic.Name(ident.Device{Product: product, SN: "trial"}, short)
	}
	return t, nil
}

// encode puts what is published through the product's script, unless the caller says that it is raw.
func (s *server) encode(ctx context.Context, dev ident.Device, topicName string, payload []byte, raw bool) ([]byte, bool, error) {
	if raw {
		return payload, false, nil
	}
	return s.Scripts.Encode(ctx, dev.Product, topicName, payload)
}

// scriptProblem is what is wrong with a script, with the place.
func scriptProblem(err error) (problem, bool) {
	var fault *script.Fault
	var wrong *script.InvalidError
	switch {
	case errors.As(err, &fault):
		return problem{status: http.StatusUnprocessableEntity, code: "invalid_script", field: "source", detail: plain(fault.Error())}, true
	case errors.As(err, &wrong):
		return invalid(wrong.Field, "%s: %s", wrong.Field, wrong.Reason), true
	}
	return problem{}, false
}
