package api

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func (s *server) CallCommand(ctx context.Context, r apitype.CallCommandRequestObject) (apitype.CallCommandResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	wait, err := waitOf(r.Body.TimeoutSeconds)
	if err != nil {
		return nil, err
	}
	res, err := s.Things.Command(ctx, d.Identity, thingmodel.Command{Identifier: r.Body.Identifier, Input: r.Body.Input,
		Async: r.Body.Async, Timeout: wait})
	if err != nil {
		return nil, err
	}
	return apitype.CallCommand200JSONResponse{RequestID: res.RequestID, Identifier: r.Body.Identifier, RetCode: int(res.Code),
		Output: res.Output, Pending: r.Body.Async}, nil
}

func (s *server) ListCommands(ctx context.Context, r apitype.ListCommandsRequestObject) (apitype.ListCommandsResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	page, err := pageOf(r.Params.Limit, nil)
	if err != nil {
		return nil, err
	}
	if page.Limit == 0 {
		page.Limit = registry.DefaultLimit
	}
	before, err := numberCursor(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.Things.Commands(ctx, d.Identity, before, page.Limit)
	if err != nil {
		return nil, err
	}
	out := apitype.ListCommands200JSONResponse{Items: make([]apitype.CommandRecord, len(list))}
	for i := range list {
		out.Items[i] = commandOf(&list[i])
	}
	if len(list) == page.Limit {
		out.NextCursor = numberCursorOf(list[len(list)-1].ID)
	}
	return out, nil
}

func commandOf(l *thingmodel.Logged) apitype.CommandRecord {
	return apitype.CommandRecord{ID: strconv.FormatInt(l.ID, 10), RequestID: l.RequestID, Identifier: l.Identifier, Input: l.Input,
		Output: l.Output, RetCode: int(l.Code), Status: apitype.CommandRecordStatus(l.Status), CreatedAt: l.Created, DoneAt: l.Done}
}

// Sender is what the API needs of the way to a device.
type Sender interface {
	Send(ctx context.Context, m downlink.Message) (downlink.Outcome, error)
}

func (s *server) Publish(ctx context.Context, r apitype.PublishRequestObject) (apitype.PublishResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	m := downlink.Message{Device: d.Identity, Queue: r.Body.Qos == 1, QoS: byte(r.Body.Qos)}
	if r.Body.Qos < 0 || r.Body.Qos > 1 {
		return nil, invalid("qos", "qos: must be 0 or 1")
	}
	if m.Topic, err = publishTopic(d.Identity, r.Body.Topic); err != nil {
		return nil, err
	}
	if m.Payload, err = payloadOf(r.Body); err != nil {
		return nil, err
	}
	outcome, err := s.Sender.Send(ctx, m)
	if err != nil {
		return nil, err
	}
	return apitype.Publish200JSONResponse{Outcome: apitype.PublicationResultOutcome(outcome.String())}, nil
}

// publishTopic takes a topic whole or from the device on. Only custom topics: what goes out on system topics is the
// hub's business.
func publishTopic(dev ident.Device, name string) (string, error) {
	if !strings.HasPrefix(name, "/") {
		name = topic.Name(dev, name)
	}
	if err := topic.ValidName(name); err != nil {
		return "", invalid("topic", "topic: %s", plain(err.Error()))
	}
	t, err := topic.Parse(name)
	if err != nil {
		return "", invalid("topic", "topic: %s", plain(err.Error()))
	}
	if t.Kind != topic.Custom || t.Device != dev {
		return "", invalid("topic", "topic: must be a custom topic of the device, such as set or /%s/%s/set", dev.Product, dev.SN)
	}
	return name, nil
}

func payloadOf(b *apitype.PublishJSONRequestBody) ([]byte, error) {
	if b.PayloadBase64 == "" {
		return []byte(b.Payload), nil
	}
	if b.Payload != "" {
		return nil, invalid("payload", "payload: give either payload or payloadBase64")
	}
	payload, err := base64.StdEncoding.DecodeString(b.PayloadBase64)
	if err != nil {
		return nil, invalid("payloadBase64", "payloadBase64: is not base64: %v", err)
	}
	return payload, nil
}
