package auth

import (
	"context"
	"errors"
	"strings"

	"github.com/hawser-iot/hawser/cloud/throttle"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Rights are what an API key may do with devices over MQTT.
type Rights struct {
	Read  bool // hear what they say
	Write bool // send to them
}

// App is an API key as MQTT knows it.
type App struct {
	KeyID    string
	Project  string            // "" is all of them
	Rights   Rights            // on all of the project, unless Products limits it
	Products map[string]Rights // by ProductSN; nil: all of the project
	Text     credential.Secret // of the key, to ask again whether it holds
}

// On are the rights on a product of the App's project.
func (a *App) On(product string) Rights {
	if a.Products == nil {
		return a.Rights
	}
	return a.Products[product]
}

// Hears tells whether the App may hear of any device at all.
func (a *App) Hears() bool {
	if a.Products == nil {
		return a.Rights.Read
	}
	for _, on := range a.Products {
		if on.Read {
			return true
		}
	}
	return false
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
	name := "app|" + l.APIKey
	if refusal == nil {
		s.metrics.logins.WithLabelValues(credential.ModeApp.String()).Inc()
		s.throttle.Right(throttle.Pair{Name: name, Host: throttle.Host(remote)})
		return app, nil
	}
	s.refuse(ctx, ident.Device{}, name, remote, refusal)
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
