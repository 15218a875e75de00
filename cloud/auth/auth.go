// Package auth decides who may connect.
//
// It promises that every refusal has a CONNACK code and a reason that is logged and counted; that secrets are compared in
// constant time and never logged; that what a client is told does not reveal whether a product or a device exists; and that a
// right credential is never refused because others tried wrong ones: throttling only delays the answer to wrong credentials, by the
// pair of identity and address.
//
// It knows the authmodes 1 (DeviceSecret), 2 (dynamic registration), 3 (HMAC with a time or a nonce) and x509 (client certificate),
// and applications with an API key. Sessions and state are presence's business, what a restricted session may ask for is
// provision's, which certificates hold is known by auth/authority.
package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/throttle"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Config bounds the throttle and the clock.
type Config struct {
	FreeTries int           // wrong credentials of a pair that are answered at once
	MaxDelay  time.Duration // the longest delay of an answer to a wrong one; it doubles from 100 ms
	Forget    time.Duration // after it a quiet pair starts afresh
	Pairs     int           // pairs remembered; the one quiet for longest is forgotten first
	Delayed   int           // answers delayed at once; more are refused without delay
	ClockSkew time.Duration // how far the time of an HMAC login may be off
}

// DefaultConfig answers five wrong tries at once and the tenth after 3.2 s.
func DefaultConfig() Config {
	return Config{FreeTries: 5, MaxDelay: 5 * time.Second, Forget: 10 * time.Minute, Pairs: 10_000, Delayed: 1_000, ClockSkew: time.Hour}
}

// Grant is what a login may do.
type Grant struct {
	Device     *registry.Device
	Product    *registry.Product
	Perms      *topic.Permissions
	Options    credential.Options
	Restricted bool            // dynamic registration: only the password topics
	Proof      authority.Proof // of a login by certificate, else zero
}

// Attempt is what somebody shows who wants in.
type Attempt struct {
	Login    credential.Login
	ClientID string
	Password []byte
	Peer     []*x509.Certificate // what the client presented and holds the key of, its own first; not verified further
	Remote   string              // the peer's address, with or without port
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
	BadTime         Reason = "clock is off by more than an hour, or no time was sent"
	BadNonce        Reason = "nonce is unknown, used or older than 60 s"
	NoCertificate   Reason = "no client certificate"
	NoWill          Reason = "the product takes no wills"
	BadCertificate  Reason = "certificate is of no authority that the product accepts"
	OldCertificate  Reason = "certificate has expired or holds not yet"
	RevokedCert     Reason = "certificate is revoked"
	OtherSubject    Reason = "certificate is another device's"
	WrongKey        Reason = "wrong API key"
)

// Deps are what logins are judged by.
type Deps struct {
	Registry    *registry.Registry
	Authorities *authority.Authorities // nil: no logins by certificate
	Nonces      *Nonces                // nil: no logins with a nonce
	Keys        Keys                   // nil: no applications
	Log         *slog.Logger
	Metrics     prometheus.Registerer // nil: not exported
}

// Service judges logins. It is safe for concurrent use.
type Service struct {
	cfg Config
	Deps
	metrics  *metrics
	throttle *throttle.Throttle
	delayed  chan struct{} // one for each delayed answer
	now      func() time.Time
}

// New returns a Service.
func New(cfg Config, d Deps) *Service {
	return &Service{cfg: cfg, Deps: d, metrics: newMetrics(d.Metrics), throttle: newThrottle(cfg), delayed: make(chan struct{}, cfg.Delayed), now: time.Now}
}

// Login judges an attempt of a device. It may block: to read the registry, and to delay the answer to wrong credentials. Errors are
// *Refusal.
func (s *Service) Login(ctx context.Context, a Attempt) (*Grant, error) {
	if len(a.Password) == 0 && len(a.Peer) > 0 && a.Login.Mode == credential.ModeSecret {
		a.Login.Mode = credential.ModeX509 // no password with a client certificate
	}
	g, refusal := s.judge(ctx, a)
	name := a.Login.Device.ClientID()
	if refusal == nil {
		s.metrics.logins.WithLabelValues(a.Login.Mode.String()).Inc()
		s.throttle.Right(throttle.Pair{Name: name, Host: throttle.Host(a.Remote)})
		return g, nil
	}
	s.refuse(ctx, a.Login.Device, name, a.Remote, refusal)
	return nil, refusal
}

// Signed checks a device's HTTP login: signature is the hex HMAC-SHA256 of body under the DeviceSecret. Its errors and its
// throttle are those of Login; it changes no state.
func (s *Service) Signed(ctx context.Context, dev ident.Device, body []byte, signature, remote string) (*Grant, error) {
	return s.http(ctx, dev, remote, func() (*Grant, *Refusal) {
		return s.device(ctx, credential.Login{Device: dev, Mode: credential.ModeSecret}, func(d *registry.Device) *Refusal {
			return wrong(credential.VerifyBody(d.Secret, body, signature))
		})
	})
}

// Certified checks a device's HTTP login by client certificate.
func (s *Service) Certified(ctx context.Context, dev ident.Device, peer []*x509.Certificate, remote string) (*Grant, error) {
	return s.http(ctx, dev, remote, func() (*Grant, *Refusal) {
		return s.certificate(ctx, Attempt{Login: credential.Login{Device: dev, Mode: credential.ModeX509}, ClientID: dev.ClientID(), Peer: peer})
	})
}

func (s *Service) http(ctx context.Context, dev ident.Device, remote string, judge func() (*Grant, *Refusal)) (*Grant, error) {
	g, refusal := judge()
	if refusal == nil {
		s.metrics.logins.WithLabelValues("http").Inc()
		s.throttle.Right(throttle.Pair{Name: dev.ClientID(), Host: throttle.Host(remote)})
		return g, nil
	}
	s.refuse(ctx, dev, dev.ClientID(), remote, refusal)
	return nil, refusal
}

// wrong refuses what was not right.
func wrong(right bool) *Refusal {
	if right {
		return nil
	}
	return &Refusal{Code: packet.BadCredentials, Reason: WrongSecret}
}

// Refuse counts and logs a refusal that a door has decided itself, before Login.
func (s *Service) Refuse(dev ident.Device, remote string, code packet.ConnackCode, why Reason) *Refusal {
	r := &Refusal{Code: code, Reason: why}
	s.note(dev, host(remote), r, 0)
	return r
}

// refuse logs and counts, and makes a guesser at the secret of name wait.
func (s *Service) refuse(ctx context.Context, dev ident.Device, name, remote string, r *Refusal) {
	wait := time.Duration(0)
	if r.guess() {
		wait = s.throttle.Wrong(throttle.Pair{Name: name, Host: throttle.Host(remote)}, s.now())
	}
	s.note(dev, host(remote), r, wait)
	if wait > 0 {
		s.delay(ctx, wait)
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
	log := s.Log.With("product", dev.Product, "device", dev.SN, "remote", host, "reason", string(r.Reason), "code", r.Code.String())
	if r.Err != nil {
		log = log.With("err", r.Err)
	}
	log.Log(context.Background(), level, "login refused")
}

// guess tells whether the refusal answers a guess at names or secrets.
func (r *Refusal) guess() bool {
	switch r.Reason {
	case UnknownProduct, UnknownDevice, WrongSecret, WrongKey, BadCertificate, OtherSubject:
		return true
	}
	return false
}

func (s *Service) judge(ctx context.Context, a Attempt) (*Grant, *Refusal) {
	if a.ClientID != a.Login.Device.ClientID() {
		return nil, &Refusal{Code: packet.IdentifierRejected, Reason: BadClientID}
	}
	switch a.Login.Mode {
	case credential.ModeSecret:
		return s.device(ctx, a.Login, func(d *registry.Device) *Refusal { return wrong(d.Secret.Equal(string(a.Password))) })
	case credential.ModeRegister:
		return s.register(ctx, a.Login, string(a.Password))
	case credential.ModeHMAC:
		return s.hmac(ctx, a)
	case credential.ModeX509:
		return s.certificate(ctx, a)
	}
	return nil, &Refusal{Code: packet.NotAuthorized, Reason: ModeUnsupported}
}

func (s *Service) product(ctx context.Context, sn string) (*registry.Product, *Refusal) {
	product, err := s.Registry.Product(ctx, sn)
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

// device is a login with what is the device's own, which proven judges.
func (s *Service) device(ctx context.Context, l credential.Login, proven func(*registry.Device) *Refusal) (*Grant, *Refusal) {
	product, refusal := s.product(ctx, l.Device.Product)
	if refusal != nil {
		return nil, refusal
	}
	dev, err := s.Registry.Device(ctx, l.Device)
	switch {
	case errors.Is(err, registry.ErrDeviceNotFound):
		return nil, &Refusal{Code: packet.BadCredentials, Reason: UnknownDevice}
	case err != nil:
		return nil, unavailable(err)
	}
	refusal = proven(dev)
	switch {
	case refusal != nil:
		return nil, refusal
	case dev.State == registry.Disabled:
		return nil, &Refusal{Code: packet.NotAuthorized, Reason: DeviceDisabled}
	case product.Kind == registry.KindSubdevice:
		return nil, &Refusal{Code: packet.NotAuthorized, Reason: BehindGateway}
	}
	return &Grant{Device: dev, Product: product, Perms: Permissions(dev.Identity, product), Options: l.Options}, nil
}

// Permissions is what a device of product may do.
func Permissions(dev ident.Device, product *registry.Product) *topic.Permissions {
	if product.Rules == nil { // not as Registry.Product gives it
		return topic.Compile(dev, product.Topics, topic.Scope{Gateway: product.Kind == registry.KindGateway})
	}
	return product.Rules.For(dev)
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
	dev, err := s.Registry.Device(ctx, id)
	if errors.Is(err, registry.ErrDeviceNotFound) {
		if product.PreRegister {
			return nil, &Refusal{Code: packet.NotAuthorized, Reason: NotPreRegister}
		}
		dev, err = s.Registry.CreateDevice(ctx, registry.NewDevice{Product: id.Product, SN: id.SN})
		if errors.Is(err, registry.ErrExists) {
			dev, err = s.Registry.Device(ctx, id) // the same device came twice at once
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
