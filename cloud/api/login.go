package api

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// Logins is what the API needs of the accounts to let somebody in and to know who calls.
type Logins interface {
	Authenticate(ctx context.Context, token string) (*account.Caller, error)
	Follow(ctx context.Context, c *account.Caller) (context.Context, context.CancelFunc)
	Login(ctx context.Context, c account.Credentials, from account.Origin) (token string, s *account.Session, err error)
	BeginFlow(ctx context.Context, f account.Flow) (state string, err error)
	TakeFlow(ctx context.Context, state string) (*account.Flow, error)
	BeginCode(ctx context.Context, user string, binding []byte) (code string, err error)
	ExchangeCode(ctx context.Context, code, verifier string, from account.Origin) (token string, s *account.Session, err error)
	SessionFor(ctx context.Context, user string, from account.Origin) (token string, s *account.Session, err error)
	UserOf(ctx context.Context, c account.Claims, auto account.AutoCreate) (user string, err error)
	User(ctx context.Context, who string) (*account.User, error)
}

// OIDC is what the API needs of an identity provider.
type OIDC interface {
	// URL is where the user logs in.
	URL(ctx context.Context, state, nonce, verifier string) (string, error)
	// Exchange verifies what the provider sent back.
	Exchange(ctx context.Context, code, nonce, verifier string) (account.Claims, error)
	// AutoCreate says what becomes of somebody whom the hub does not know.
	AutoCreate() account.AutoCreate
}

// flowCookie binds a login through OpenID Connect to the browser that began it.
const flowCookie = "__Host-hawser_oidc"

var errNoOIDC = problem{status: http.StatusNotFound, code: "oidc_off", detail: "this hub has no OpenID Connect provider: log in with a password"}

// loginAnswer is a session as an answer: its token in the body or in a cookie.
type loginAnswer struct {
	body   apitype.Login
	cookie string // the token, when it goes into one
}

func (a loginAnswer) write(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if a.cookie != "" {
		setCookie(w, sessionCookie, a.cookie, time.Until(a.body.ExpiresAt))
	}
	return json.NewEncoder(w).Encode(a.body)
}

func (a loginAnswer) VisitLoginResponse(w http.ResponseWriter) error        { return a.write(w) }
func (a loginAnswer) VisitExchangeOIDCResponse(w http.ResponseWriter) error { return a.write(w) }

// setCookie sets a cookie that only this host gets, over TLS, and no script reads; life 0 removes it.
func setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	age := int(life / time.Second)
	if age <= 0 {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: sameSite(name)})
}

// sameSite keeps a session from every request that another site makes. The cookie of a login must come along when the identity provider,
// which is another site, sends the browser back.
func sameSite(cookie string) http.SameSite {
	if cookie == flowCookie {
		return http.SameSiteLaxMode
	}
	return http.SameSiteStrictMode
}

func (s *server) Login(ctx context.Context, r apitype.LoginRequestObject) (apitype.LoginResponseObject, error) {
	known := requestOf(ctx)
	known.actor = account.Entry{ActorName: printable(r.Body.Login)}
	if r.Body.Cookie && !known.sameOrigin {
		known.quiet = true
		return nil, problem{status: http.StatusForbidden, code: "cross_origin", detail: "a login with a cookie must come from the hub's own pages and carry " + csrfHeader}
	}
	token, session, err := s.Accounts.Login(ctx, account.Credentials{Login: r.Body.Login, Password: r.Body.Password, Code: r.Body.Code, Recovery: r.Body.RecoveryCode}, known.from)
	if err != nil {
		// What was not even tried must not fill the log.
		known.quiet = !errors.Is(err, account.ErrWrongLogin) && !errors.Is(err, account.ErrWrongTOTP)
		return nil, err
	}
	return s.loggedIn(ctx, token, session, r.Body.Cookie)
}

// printable bounds a name that nobody has verified.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, name)
	return name[:min(len(name), 128)]
}

func (s *server) loggedIn(ctx context.Context, token string, session *account.Session, cookie bool) (loginAnswer, error) {
	u, err := s.Accounts.User(ctx, session.User)
	if err != nil {
		return loginAnswer{}, err
	}
	requestOf(ctx).actor = account.Entry{Kind: account.KindUser, Actor: u.ID, ActorName: u.Login}
	a := loginAnswer{body: apitype.Login{ID: session.ID, User: u.ID, Login: u.Login, ExpiresAt: session.Expires}}
	if cookie {
		a.cookie = token
	} else {
		a.body.Token = token
	}
	return a, nil
}

// oidcStart is where the user has to go, with a cookie for the way back.
type oidcStart struct {
	body   apitype.OIDCStart
	cookie string
}

func (o oidcStart) VisitBeginOIDCResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if o.cookie != "" {
		setCookie(w, flowCookie, o.cookie, 10*time.Minute)
	}
	return json.NewEncoder(w).Encode(o.body)
}

func (s *server) BeginOIDC(ctx context.Context, r apitype.BeginOIDCRequestObject) (apitype.BeginOIDCResponseObject, error) {
	if s.OIDC == nil {
		return nil, errNoOIDC
	}
	f, cookie, err := flowOf(*r.Body)
	if err != nil {
		return nil, err
	}
	state, err := s.Accounts.BeginFlow(ctx, f)
	if err != nil {
		return nil, err
	}
	out := oidcStart{cookie: cookie}
	out.body.URL, err = s.OIDC.URL(ctx, state, f.Nonce, f.Verifier)
	return out, err
}

// flowOf is a flow for a browser (with the cookie that it gets) or a program.
func flowOf(b apitype.OIDCBegin) (f account.Flow, cookie string, err error) {
	f = account.Flow{Nonce: rand.Text(), Verifier: rand.Text() + rand.Text()}
	if b.Loopback == "" {
		f.Target = b.ReturnTo
		if !localPath(f.Target) {
			return f, "", invalid("returnTo", "returnTo: must be a path of this hub, like /")
		}
		cookie = rand.Text()
		f.Binding = account.Challenge(cookie)
		return f, cookie, nil
	}
	f.Target = b.Loopback
	if !loopback(f.Target) {
		return f, "", invalid("loopback", "loopback: must be http://127.0.0.1:<port>/… or http://[::1]:<port>/…")
	}
	if f.Binding, err = base64.RawURLEncoding.DecodeString(b.Challenge); err != nil || len(f.Binding) != 32 {
		return f, "", invalid("challenge", "challenge: must be the base64url of a SHA-256")
	}
	return f, "", nil
}

// localPath keeps a login from ending on somebody else's page.
func localPath(path string) bool {
	u, err := url.Parse(path)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") &&
		!strings.ContainsAny(path, "\\\r\n\t")
}

func loopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Port() == "" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// redirect sends a browser on; the cookie of the login goes, that of the session may come.
type redirect struct{ to, cookie string }

func (d redirect) VisitFinishOIDCResponse(w http.ResponseWriter) error {
	setCookie(w, flowCookie, "", 0)
	if d.cookie != "" {
		setCookie(w, sessionCookie, d.cookie, 7*24*time.Hour) // the hub itself ends it, at the latest then
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer") // the URL has a code in it
	w.Header().Set("Location", d.to)
	w.WriteHeader(http.StatusFound)
	return nil
}

func (s *server) FinishOIDC(ctx context.Context, r apitype.FinishOIDCRequestObject) (apitype.FinishOIDCResponseObject, error) {
	if s.OIDC == nil {
		return nil, errNoOIDC
	}
	known := requestOf(ctx)
	known.quiet = true // until somebody is known
	f, err := s.Accounts.TakeFlow(ctx, r.Params.State)
	if err != nil {
		return nil, err
	}
	browser := localPath(f.Target)
	if browser && subtle.ConstantTimeCompare(account.Challenge(deref(r.Params.Binding)), f.Binding) != 1 {
		return nil, account.ErrFlow
	}
	if r.Params.Code == nil {
		return nil, problem{status: http.StatusForbidden, code: "oidc_refused", detail: "the identity provider let nobody in: " + printable(deref(r.Params.Error))}
	}
	claims, err := s.OIDC.Exchange(ctx, *r.Params.Code, f.Nonce, f.Verifier)
	if err != nil {
		s.log.Warn("OpenID Connect login refused", "request", known.id, "err", err)
		return nil, problem{status: http.StatusForbidden, code: "oidc_refused", detail: "what the identity provider sent back could not be verified"}
	}
	known.quiet, known.actor = false, account.Entry{Kind: account.KindUser, ActorName: printable(claims.Issuer + " " + claims.Subject)}
	user, err := s.Accounts.UserOf(ctx, claims, s.OIDC.AutoCreate())
	if err != nil {
		return nil, err
	}
	known.actor.Actor = user
	if browser {
		token, _, err := s.Accounts.SessionFor(ctx, user, known.from)
		return redirect{f.Target, token}, err
	}
	code, err := s.Accounts.BeginCode(ctx, user, f.Binding)
	if err != nil {
		return nil, err
	}
	to, _ := url.Parse(f.Target) // it was one when the login began
	q := to.Query()
	q.Set("code", code)
	to.RawQuery = q.Encode()
	return redirect{to: to.String()}, nil
}

func (s *server) ExchangeOIDC(ctx context.Context, r apitype.ExchangeOIDCRequestObject) (apitype.ExchangeOIDCResponseObject, error) {
	known := requestOf(ctx)
	token, session, err := s.Accounts.ExchangeCode(ctx, r.Body.Code, r.Body.Verifier, known.from)
	if err != nil {
		known.quiet = true
		return nil, err
	}
	return s.loggedIn(ctx, token, session, false)
}
