package api

import (
	"context"
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/fleet"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Sender is what the API needs of the way to a device.
type Sender interface {
	// Number gives what is sent under the context that it returns its MessageID.
	Number(ctx context.Context) (context.Context, message.ID)
	Send(ctx context.Context, m downlink.Message) (downlink.Outcome, error)
	Request(ctx context.Context, m downlink.Message, replyTopic string) ([]byte, error)
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
	if m.Topic, err = publishTopic("topic", d.Identity, r.Body.Topic); err != nil {
		return nil, err
	}
	if m.Payload, err = payloadOf(r.Body.Payload, r.Body.PayloadBase64); err != nil {
		return nil, err
	}
	if m.Expiry, err = expiryOf(r.Body.ExpirySeconds); err != nil {
		return nil, err
	}
	encoded := false
	if m.Payload, encoded, err = s.encode(ctx, d.Identity, m.Topic, m.Payload, r.Body.Raw || strings.HasPrefix(m.Topic, "/$system/")); err != nil {
		return nil, err
	}
	ctx, id := s.Sender.Number(ctx)
	outcome, err := s.Sender.Send(ctx, m)
	if err != nil {
		return nil, err
	}
	return apitype.Publish200JSONResponse{MessageID: id.String(), Outcome: apitype.PublicationResultOutcome(outcome.String()), Encoded: encoded}, nil
}

// publishTopic takes a topic whole or from the device on. Only custom topics: what goes out on system topics is the
// hub's business, but for the answer to a gateway that has found a device, which is an application's.
func publishTopic(field string, dev ident.Device, name string) (string, error) {
	if !strings.HasPrefix(name, "/") {
		name = topic.Name(dev, name)
	}
	if err := topic.ValidName(name); err != nil {
		return "", invalid(field, "%s: %s", field, plain(err.Error()))
	}
	t, err := topic.Parse(name)
	if err != nil {
		return "", invalid(field, "%s: %s", field, plain(err.Error()))
	}
	if t.Kind != topic.Custom && t.Kind != topic.TopoFoundReply || t.Device != dev {
		return "", invalid(field, "%s: must be a custom topic of the device, such as set or /%s/%s/set", field, dev.Product, dev.SN)
	}
	return name, nil
}

func payloadOf(text, encoded string) ([]byte, error) {
	if encoded == "" {
		return []byte(text), nil
	}
	if text != "" {
		return nil, invalid("payload", "payload: give either payload or payloadBase64")
	}
	payload, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, invalid("payloadBase64", "payloadBase64: is not base64: %v", err)
	}
	return payload, nil
}

// maxExpiry is how long a message may wait in a queue.
const maxExpiry = 72 * time.Hour

// expiryOf is when a message is of no use any longer; the zero time without one.
func expiryOf(seconds float64) (time.Time, error) {
	wait, err := durationOf("expirySeconds", seconds, maxExpiry)
	if err != nil || wait == 0 {
		return time.Time{}, err
	}
	return time.Now().Add(wait), nil
}

// maxRequestTime is how long a device may be given to answer.
const maxRequestTime = time.Minute

func (s *server) RequestDevice(ctx context.Context, r apitype.RequestDeviceRequestObject) (apitype.RequestDeviceResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	m := downlink.Message{Device: d.Identity, QoS: 1}
	if q := r.Body.Qos; q != nil {
		if *q < 0 || *q > 1 {
			return nil, invalid("qos", "qos: must be 0 or 1")
		}
		m.QoS = byte(*q)
	}
	if m.Topic, err = publishTopic("topic", d.Identity, r.Body.Topic); err != nil {
		return nil, err
	}
	reply, err := publishTopic("replyTopic", d.Identity, r.Body.ReplyTopic)
	if err != nil {
		return nil, err
	}
	product, err := s.Products.Product(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	if _, ok := product.Rules.For(d.Identity).Publish(reply); !ok {
		return nil, invalid("replyTopic", "replyTopic: the device may not publish to %s", reply)
	}
	if m.Payload, err = payloadOf(r.Body.Payload, r.Body.PayloadBase64); err != nil {
		return nil, err
	}
	if m.Payload, _, err = s.encode(ctx, d.Identity, m.Topic, m.Payload, r.Body.Raw); err != nil {
		return nil, err
	}
	wait, err := durationOf("timeoutSeconds", r.Body.TimeoutSeconds, maxRequestTime)
	if err != nil {
		return nil, err
	}
	if wait == 0 {
		wait = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	answer, err := s.Sender.Request(ctx, m, reply)
	if err != nil {
		return nil, err
	}
	out := apitype.RequestDevice200JSONResponse{Topic: reply}
	if utf8.Valid(answer) {
		out.Payload = string(answer)
	} else {
		out.PayloadBase64 = base64.StdEncoding.EncodeToString(answer)
	}
	return out, nil
}

func (s *server) Broadcast(ctx context.Context, r apitype.BroadcastRequestObject) (apitype.BroadcastResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	path, err := broadcastPath(r.ProductSN, r.Body.Topic)
	if err != nil {
		return nil, err
	}
	out, err := s.mail(ctx, r.ProductSN, r.Params.DryRun, fleet.Mailing{Topic: path, Broadcast: true}, r.Body)
	return apitype.Broadcast202JSONResponse(out), err
}

// broadcastPath takes a broadcast topic whole or from behind $broadcast on.
func broadcastPath(product, name string) (string, error) {
	if !strings.HasPrefix(name, "/") {
		return name, nil
	}
	t, err := topic.Parse(name)
	if err != nil || t.Kind != topic.Broadcast || t.Device.Product != product {
		return "", invalid("topic", "topic: must be below /%s/$broadcast/", product)
	}
	return t.Tail, nil
}

func (s *server) PublishDevices(ctx context.Context, r apitype.PublishDevicesRequestObject) (apitype.PublishDevicesResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	out, err := s.mail(ctx, r.ProductSN, r.Params.DryRun, fleet.Mailing{Topic: r.Body.Topic}, r.Body)
	return apitype.PublishDevices202JSONResponse(out), err
}

func (s *server) PublishFleet(ctx context.Context, r apitype.PublishFleetRequestObject) (apitype.PublishFleetResponseObject, error) {
	out, err := s.mail(ctx, "", r.Params.DryRun, fleet.Mailing{Topic: r.Body.Topic}, r.Body)
	return apitype.PublishFleet202JSONResponse(out), err
}

// mail sends a message in a product, or in the whole of the caller's project.
func (s *server) mail(ctx context.Context, product string, dryRun *bool, m fleet.Mailing, b *apitype.Mailing) (apitype.Job, error) {
	var err error
	if m.Payload, err = payloadOf(b.Payload, b.PayloadBase64); err != nil {
		return apitype.Job{}, err
	}
	if m.Expiry, err = expiryOf(b.ExpirySeconds); err != nil {
		return apitype.Job{}, err
	}
	m.QoS, m.State, m.Filter, m.Raw = b.Qos, string(b.State), b.Filter, b.Raw
	n := newJob(ctx, fleet.KindMessage, product, dryRun)
	if n.Spec, err = m.Spec(); err != nil {
		return apitype.Job{}, err
	}
	j, err := s.Jobs.Create(ctx, n)
	if err != nil {
		return apitype.Job{}, err
	}
	return jobOf(j), nil
}
