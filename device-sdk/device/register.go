package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Register obtains a device's secret by dynamic registration: every device of a
// product carries the product's secret, in cfg.Secret, and asks once for its
// own. Keep what it returns; after the first login with it the hub refuses to
// hand it out again until an operator resets the device.
//
// Of cfg it uses Server, Product, SN, Secret and TLS. A refused login is
// link.ErrNotAuthorized or link.ErrBadCredentials.
func Register(ctx context.Context, cfg Config, log *slog.Logger) (credential.Secret, error) {
	id := ident.Device{Product: cfg.Product, SN: cfg.SN}
	l, err := link.New(link.Config{
		Server: cfg.Server, Device: id, Secret: cfg.Secret, TLS: cfg.TLS, Mode: credential.ModeRegister,
	}, log)
	if err != nil {
		return "", err
	}
	got := make(chan []byte, 1)
	err = l.Subscribe(ctx, topic.System(id, topic.PasswordReply), 1, func(_ context.Context, m link.Message) {
		select {
		case got <- m.Payload:
		default:
		}
	})
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	secret, err := ask(ctx, l, id, got)
	cancel()
	if runErr := <-ended; runErr != nil {
		return "", runErr
	}
	return secret, err
}

func ask(ctx context.Context, l *link.Link, id ident.Device, got <-chan []byte) (credential.Secret, error) {
	const requestID = "1"
	body, err := codec.Marshal(codec.JSON, message.Request{RequestID: requestID})
	if err != nil {
		return "", err
	}
	if err := l.Publish(ctx, link.Message{Topic: topic.System(id, topic.Password), Payload: body, QoS: 1}); err != nil {
		return "", err
	}
	var reply message.PasswordReply
	select {
	case b := <-got:
		if err := codec.Unmarshal(b, &reply); err != nil {
			return "", fmt.Errorf("decode the registration's answer: %w", err)
		}
	case <-ctx.Done():
		return "", ctx.Err()
	}
	switch {
	case reply.RetCode != "0":
		return "", fmt.Errorf("device: registration refused with code %s", reply.RetCode)
	case reply.Password == "":
		return "", errors.New("device: the registration's answer holds no secret")
	}
	return credential.Secret(reply.Password), nil
}
