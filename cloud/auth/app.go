package auth

import (
	"context"
	"errors"
	"strings"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// App is what an API key may do over MQTT.
type App struct {
	KeyID    string
	Project  string            // "" is all of them
	Products []string          // ProductSNs; nil: all of the project
	Read     bool              // hear what devices say
	Write    bool              // send to devices
	Text     credential.Secret // of the key, to ask again whether it holds
}

// ErrKey is returned by Keys for a key that is not right, whatever is wrong with it.
var ErrKey = errors.New("auth: wrong API key")

// Keys is what auth needs of the accounts.
type Keys interface {
	// App returns what the key may do whose whole text it is given, or ErrKey.
	App(ctx context.Context, text string) (*App, error)
}

// Application judges the login of an application. Errors are *Refusal; the throttle is that of Login. The log does not name the key: what
// somebody gives for its id may be a secret.
func (s *Service) Application(ctx context.Context, l credential.Login, password []byte, remote string) (*App, error) {
	app, refusal := s.app(ctx, l.APIKey, string(password))
	pair := pair{"app|" + l.APIKey, host(remote)}
	if refusal == nil {
		s.metrics.logins.WithLabelValues(credential.ModeApp.String()).Inc()
		s.throttle.forget(pair)
		return app, nil
	}
	s.refuse(ctx, ident.Device{}, pair, refusal)
	return nil, refusal
}

func (s *Service) app(ctx context.Context, id, password string) (*App, *Refusal) {
	if s.Keys == nil {
		return nil, &Refusal{Code: packet.NotAuthorized, Reason: ModeUnsupported}
	}
	// The password is the key's whole text, or only the secret in it.
	whole := "hwk_" + id + "_"
	if !strings.HasPrefix(password, whole) {
		password = whole + password
	}
	app, err := s.Keys.App(ctx, password)
	switch {
	case errors.Is(err, ErrKey):
		return nil, &Refusal{Code: packet.BadCredentials, Reason: WrongKey}
	case err != nil:
		return nil, unavailable(err)
	}
	app.Text = credential.Secret(password)
	return app, nil
}
