// Package auth decides who may connect.
//
// It promises that every refusal has a CONNACK code and a reason that is logged and counted; that secrets are compared in
// constant time and never logged; that what a client is told does not reveal whether a product or a device exists; and that a
// right credential is never refused because others tried wrong ones: throttling only delays the answer to wrong credentials, by the
// pair of identity and address.
//
// It knows authmode 1 (DeviceSecret) and 2 (dynamic registration). Sessions and state are presence's business, what a
// restricted session may ask for is provision's.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Config bounds the throttle.
type Config struct {
	FreeTries int           // wrong credentials of a pair that are answered at once
	MaxDelay  time.Duration // the longest delay of an answer to a wrong one; it doubles from 100 ms
	Forget    time.Duration // after it a quiet pair starts afresh
	Pairs     int           // pairs remembered; the one quiet for longest is forgotten first
	Delayed   int           // answers delayed at once; more are refused without delay
}

// DefaultConfig answers five wrong tries at once and the tenth after 3.2 s.
func DefaultConfig() Config {
	return Config{FreeTries: 5, MaxDelay: 5 * time.Second, Forget: 10 * time.Minute, Pairs: 10_000, Delayed: 1_000}
}

// Grant is what a login may do.
type Grant struct {
	Device     *registry.Device
	Product    *registry.Product
	Perms      *topic.Permissions
	Options    credential.Options
	Restricted bool // dynamic registration: only the password topics
}

// Refusal is the error of Login. Reason is for the log and the operator, not for the client.
type Refusal struct {
	Code   packet.ConnackCode
	Reason Reason
	Err    error // set when the reason is a fault of ours
}

func (r *Refusal) Error() string {
	if r.Err != nil {
		return fmt.Sprintf("auth: refused: %s: %v", r.Reason, r.Err)
	}
	return "auth: refused: " + string(r.Reason)
}

func (r *Refusal) Unwrap() error { return r.Err }

// Reason says why a login was refused; the set is closed, so that it can be counted.
type Reason string

// The reasons.
const (
	BadUserName     Reason = "bad user name"
	BadClientID     Reason = "client id is not ProductSN.DeviceSN of the user name"
	BadKeepAlive    Reason = "keep-alive out of range"
	UnknownProduct  Reason = "unknown product"
	UnknownDevice   Reason = "unknown device"
	WrongSecret     Reason = "wrong secret"
	DeviceDisabled  Reason = "device is disabled"
	BehindGateway   Reason = "sub-devices log in through their gateway"
	ModeUnsupported Reason = "authmode is not supported"
	RegisterOff     Reason = "dynamic registration is off for the product"
	NotPreRegister  Reason = "device is not pre-registered"
	AlreadyActive   Reason = "device has logged in with its own secret: reset it to register again"
	Unavailable     Reason = "registry unavailable"
)

// Service judges logins. It is safe for concurrent use.
type Service struct {
	cfg      Config
	reg      *registry.Registry
	log      *slog.Logger
	metrics  *metrics
	throttle *throttle
}

// New returns a Service over reg; metrics may be nil.
func New(reg *registry.Registry, cfg Config, log *slog.Logger, metrics prometheus.Registerer) *Service {
	return &Service{cfg: cfg, reg: reg, log: log, metrics: newMetrics(metrics), throttle: newThrottle(cfg, time.Now)}
}

// Login checks a parsed user name with its password. remote is the peer's address, with or without port. It may block: to
// read the registry, and to delay the answer to wrong credentials. Errors are *Refusal.
func (s *Service) Login(ctx context.Context, l credential.Login, clientID string, password []byte, remote string) (*Grant, error) {
	g, refusal := s.judge(ctx, l, clientID, string(password))
	pair := pair{l.Device, host(remote)}
	if refusal == nil {
		s.metrics.logins.WithLabelValues(l.Mode.String()).Inc()
		s.throttle.forget(pair)
		return g, nil
	}
	s.refuse(ctx, l, pair, refusal)
	return nil, refusal
}

// Signed checks a device's HTTP login: signature is the hex HMAC-SHA256 of body under the DeviceSecret. Its errors and its
// throttle are those of Login; it changes no state.
func (s *Service) Signed(ctx context.Context, dev ident.Device, body []byte, signature, remote string) (*Grant, error) {
	l := credential.Login{Device: dev, Mode: credential.ModeSecret}
	g, refusal := s.device(ctx, l, func(secret credential.Secret) bool { return credential.VerifyBody(secret, body, signature) })
	pair := pair{dev, host(remote)}
	if refusal == nil {
		s.metrics.logins.WithLabelValues("http").Inc()
		s.throttle.forget(pair)
		return g, nil
	}
	s.refuse(ctx, l, pair, refusal)
	return nil, refusal
}

// Refuse counts and logs a refusal that a door has decided itself, before Login.
func (s *Service) Refuse(dev ident.Device, remote string, code packet.ConnackCode, why Reason) *Refusal {
	r := &Refusal{Code: code, Reason: why}
	s.note(dev, host(remote), r, 0)
	return r
}

// refuse logs and counts, and makes a guesser wait.
func (s *Service) refuse(ctx context.Context, l credential.Login, p pair, r *Refusal) {
	wait := time.Duration(0)
	if r.guess() {
		wait = s.throttle.wrong(p)
	}
	s.note(l.Device, p.host, r, wait)
	if wait > 0 {
		s.throttle.delay(ctx, wait)
	}
}

func (s *Service) note(dev ident.Device, host string, r *Refusal, wait time.Duration) {
	s.metrics.refusals.WithLabelValues(string(r.Reason)).Inc()
	level := slog.LevelInfo
	switch {
	case r.Err != nil:
		level = slog.LevelError
	case wait > 0:
		s.metrics.delayed.Inc()
		level = slog.LevelDebug // a guesser must not fill the log
	}
	log := s.log.With("product", dev.Product, "device", dev.SN, "remote", host, "reason", string(r.Reason), "code", r.Code.String())
	if r.Err != nil {
		log = log.With("err", r.Err)
	}
	log.Log(context.Background(), level, "login refused")
}

// guess tells whether the refusal answers a guess at names or secrets.
func (r *Refusal) guess() bool {
	return r.Reason == UnknownProduct || r.Reason == UnknownDevice || r.Reason == WrongSecret
}

func (s *Service) judge(ctx context.Context, l credential.Login, clientID, password string) (*Grant, *Refusal) {
	if l.Mode != credential.ModeSecret && l.Mode != credential.ModeRegister {
		return nil, &Refusal{Code: packet.NotAuthorized, Reason: ModeUnsupported}
	}
	if clientID != l.Device.ClientID() {
		return nil, &Refusal{Code: packet.IdentifierRejected, Reason: BadClientID}
	}
	if l.Mode == credential.ModeRegister {
		return s.register(ctx, l, password)
	}
	return s.device(ctx, l, func(secret credential.Secret) bool { return secret.Equal(password) })
}

func (s *Service) product(ctx context.Context, sn string) (*registry.Product, *Refusal) {
	product, err := s.reg.Product(ctx, sn)
	if errors.Is(err, registry.ErrProductNotFound) {
		return nil, &Refusal{Code: packet.BadCredentials, Reason: UnknownProduct}
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return product, nil
}

func unavailable(err error) *Refusal {
	return &Refusal{Code: packet.ServerUnavailable, Reason: Unavailable, Err: err}
}

// device is a login with the device's own secret, which right judges.
func (s *Service) device(ctx context.Context, l credential.Login, right func(credential.Secret) bool) (*Grant, *Refusal) {
	product, refusal := s.product(ctx, l.Device.Product)
	if refusal != nil {
		return nil, refusal
	}
	dev, err := s.reg.Device(ctx, l.Device)
	switch {
	case errors.Is(err, registry.ErrDeviceNotFound):
		return nil, &Refusal{Code: packet.BadCredentials, Reason: UnknownDevice}
	case err != nil:
		return nil, unavailable(err)
	case !right(dev.Secret):
		return nil, &Refusal{Code: packet.BadCredentials, Reason: WrongSecret}
	case dev.State == registry.Disabled:
		return nil, &Refusal{Code: packet.NotAuthorized, Reason: DeviceDisabled}
	case product.Kind == registry.KindSubdevice:
		return nil, &Refusal{Code: packet.NotAuthorized, Reason: BehindGateway}
	}
	return &Grant{Device: dev, Product: product, Perms: Permissions(dev.Identity, product), Options: l.Options}, nil
}

// Permissions compiles what a device of product may do.
func Permissions(dev ident.Device, product *registry.Product) *topic.Permissions {
	return topic.Compile(dev, product.Topics, topic.Scope{Gateway: product.Kind == registry.KindGateway})
}

// register is authmode 2, device-protocol section 2.
func (s *Service) register(ctx context.Context, l credential.Login, password string) (*Grant, *Refusal) {
	product, refusal := s.product(ctx, l.Device.Product)
	if refusal != nil {
		return nil, refusal
	}
	switch {
	case !product.Secret.Equal(password):
		return nil, &Refusal{Code: packet.BadCredentials, Reason: WrongSecret}
	case !product.DynamicRegister:
		return nil, &Refusal{Code: packet.NotAuthorized, Reason: RegisterOff}
	case product.Kind == registry.KindSubdevice:
		return nil, &Refusal{Code: packet.NotAuthorized, Reason: BehindGateway}
	}
	dev, refusal := s.candidate(ctx, l.Device, product)
	if refusal != nil {
		return nil, refusal
	}
	return &Grant{Device: dev, Product: product, Options: l.Options, Restricted: true,
		Perms: topic.Compile(dev.Identity, nil, topic.Scope{Restricted: true})}, nil
}

// candidate finds or makes the device that wants to register.
func (s *Service) candidate(ctx context.Context, id ident.Device, product *registry.Product) (*registry.Device, *Refusal) {
	dev, err := s.reg.Device(ctx, id)
	if errors.Is(err, registry.ErrDeviceNotFound) {
		if product.PreRegister {
			return nil, &Refusal{Code: packet.NotAuthorized, Reason: NotPreRegister}
		}
		dev, err = s.reg.CreateDevice(ctx, registry.NewDevice{Product: id.Product, SN: id.SN})
		if errors.Is(err, registry.ErrExists) {
			dev, err = s.reg.Device(ctx, id) // the same device came twice at once
		}
	}
	switch {
	case err != nil:
		return nil, unavailable(err)
	case dev.State == registry.Disabled:
		return nil, &Refusal{Code: packet.NotAuthorized, Reason: DeviceDisabled}
	case !dev.Activated.IsZero():
		return nil, &Refusal{Code: packet.NotAuthorized, Reason: AlreadyActive}
	}
	return dev, nil
}

// host cuts the port off an address.
func host(remote string) string {
	if h, _, err := net.SplitHostPort(remote); err == nil {
		return h
	}
	return remote
}
