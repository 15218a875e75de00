package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newLogin(c *cli) *cobra.Command {
	var oidc bool
	cmd := &cobra.Command{
		Use:   "login [LOGIN]",
		Short: "Log in and keep the session in the context",
		Long: `Log in as a user. The password, and the code of the second factor when there is
one, are asked for and not shown; when standard input is no terminal they are read
from it, a line each. A recovery code is taken for a code.

--oidc logs in through the hub's identity provider: open the URL that is printed in
a browser on this machine (BROWSER, if set, is started with it).

The session is kept in the context, that of --context or the current one; without
one a context is made that is called like the hub's host.`,
		Example: `  hawserctl login ann@example.com --hub https://hub.example:8443
  hawserctl login --oidc`,
		Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.dryRun {
				return usageError{errors.New("--dry-run: a login cannot be tried without being made")}
			}
			var session *apitype.Login
			var err error
			if oidc {
				session, err = c.loginOIDC(cmd.Context())
			} else {
				session, err = c.loginPassword(cmd.Context(), args)
			}
			if err != nil {
				return err
			}
			return c.keepSession(session)
		},
	}
	cmd.Flags().BoolVar(&oidc, "oidc", false, "log in through the hub's identity provider")
	return cmd
}

// keepSession stores the session beside the hub that it is of.
func (c *cli) keepSession(s *apitype.Login) error {
	name := c.context
	if name == "" {
		u, err := url.Parse(c.hub)
		if err != nil {
			return err
		}
		name = u.Host
	}
	p := c.config.Contexts[name]
	if p.Hub != c.hub {
		p = place{Hub: c.hub}
	}
	if c.ca != "" {
		p.CA = c.ca
	}
	p.Insecure, p.Login, p.Token = c.insecure, s.Login, s.Token
	if err := c.keep(name, p); err != nil {
		return err
	}
	fmt.Fprintf(c.errOut, "logged in to %s as %s until %s at the latest; the session is in context %s\n", c.hub, s.Login, s.ExpiresAt.Local().Format(time.DateTime), name)
	return nil
}

func (c *cli) loginPassword(ctx context.Context, args []string) (*apitype.Login, error) {
	in := c.asker()
	var body apitype.Credentials
	var err error
	if len(args) > 0 {
		body.Login = args[0]
	} else if body.Login, err = in.line("Login: "); err != nil {
		return nil, err
	}
	if body.Password, err = in.secret("Password: "); err != nil {
		return nil, err
	}
	var session *apitype.Login
	err = in.withCode(func(code, recovery string) error {
		body.Code, body.RecoveryCode = code, recovery
		session, err = c.session(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return client.Login(ctx, body)
		})
		return err
	})
	return session, err
}

// session makes a call that answers with a session.
func (c *cli) session(ctx context.Context, call request) (*apitype.Login, error) {
	c.anonymous = true
	b, err := c.do(ctx, call)
	if err != nil {
		return nil, err
	}
	var s apitype.Login
	if err := json.Unmarshal(b, &s); err != nil || s.Token == "" {
		return nil, fmt.Errorf("%s answered without a session: is it a Hawser hub?", c.hub)
	}
	return &s, nil
}

// loginOIDC has the user log in at the identity provider and waits for the hub to send them back here.
func (c *cli) loginOIDC(ctx context.Context) (*apitype.Login, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the browser: %w", err)
	}
	codes := make(chan string, 1)
	server := &http.Server{Handler: landing(codes), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(ln) }() // it ends with Close
	defer func() { _ = server.Close() }()

	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	c.anonymous = true
	b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.BeginOIDC(ctx, apitype.OIDCBegin{Loopback: "http://" + ln.Addr().String() + "/", Challenge: base64.RawURLEncoding.EncodeToString(sum[:])})
	})
	if err != nil {
		return nil, err
	}
	var start apitype.OIDCStart
	if err := json.Unmarshal(b, &start); err != nil {
		return nil, fmt.Errorf("read the hub's answer: %w", err)
	}
	fmt.Fprintf(c.errOut, "open this URL in a browser on this machine:\n\n  %s\n\n", start.URL)
	if browser := os.Getenv("BROWSER"); browser != "" {
		if err := exec.CommandContext(ctx, browser, start.URL).Start(); err != nil {
			fmt.Fprintf(c.errOut, "BROWSER: %v\n", err)
		}
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case code := <-codes:
		return c.session(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return client.ExchangeOIDC(ctx, apitype.OIDCExchange{Code: code, Verifier: verifier})
		})
	}
}

// landing is the page that the browser ends on.
func landing(codes chan<- string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code := r.URL.Query().Get("code")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Referrer-Policy", "no-referrer")
		if r.URL.Path != "/" || code == "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte("You are logged in; this window may be closed.\n")) // the browser may have gone
		select {
		case codes <- code:
		default: // there was one
		}
	})
}

func newLogout(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "logout",
		Short:   "End the session of the context",
		Example: "  hawserctl logout",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.Logout(ctx)
			})
			var refused *apiError
			if err != nil && (!errors.As(err, &refused) || refused.problem.Code != "unauthorized") { // a session that is over is what was wanted
				return err
			}
			p, ok := c.config.Contexts[c.context]
			if !ok || p.Token != c.apiKey {
				return nil
			}
			p.Token, p.Login = "", ""
			return c.keep(c.context, p)
		},
	}
}

func newWhoami(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "whoami",
		Short:   "Show who you are to the hub, and what you may do",
		Example: "  hawserctl whoami",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetMe(ctx)
			})
		},
	}
}
