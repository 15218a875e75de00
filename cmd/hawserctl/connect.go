package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// maxAnswer bounds what is read of one answer.
const maxAnswer = 64 << 20

// apiError is the hub's refusal.
type apiError struct {
	problem apitype.Problem
	hub     string
	key     string // which key was used, without its secret
}

func (e *apiError) Error() string {
	var b strings.Builder
	switch e.problem.Status {
	case http.StatusUnauthorized:
		if e.problem.Code != "unauthorized" { // a login
			break
		}
		remedy := "check --api-key or HAWSER_API_KEY"
		if e.key == theSession {
			remedy = "it is over: hawserctl login"
		}
		fmt.Fprintf(&b, "%s does not accept %s; %s", e.hub, e.key, remedy)
		return b.String()
	case http.StatusForbidden:
		fmt.Fprintf(&b, "%s may not do this: ", e.key)
	}
	if e.problem.Detail == "" {
		b.WriteString(strings.ToLower(e.problem.Title))
	}
	b.WriteString(e.problem.Detail)
	if e.problem.Field != "" && !strings.Contains(e.problem.Detail, e.problem.Field) {
		fmt.Fprintf(&b, " (%s)", e.problem.Field)
	}
	fmt.Fprintf(&b, " [%s", e.problem.Code)
	if e.problem.Status == http.StatusInternalServerError && e.problem.RequestID != "" {
		fmt.Fprintf(&b, ", request %s", e.problem.RequestID)
	}
	b.WriteString("]")
	if e.problem.Status == http.StatusPreconditionFailed {
		b.WriteString("; somebody else has changed it: get it again, look at what they did, and repeat this with --if-match of its present revision")
	}
	return b.String()
}

// unreachableError says that no answer came.
type unreachableError struct {
	hub string
	err error
}

func (e *unreachableError) Error() string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(e.err, &unknown):
		return fmt.Sprintf("the certificate of %s is signed by an unknown authority: pass the hub's CA with --ca FILE (on the hub: DATA/tls/ca.pem), or --insecure", e.hub)
	case errors.As(e.err, &host):
		return fmt.Sprintf("the certificate of %s is for another host: %v", e.hub, host)
	case errors.As(e.err, &notTLS):
		return fmt.Sprintf("%s does not speak TLS: is it http:// instead of https://?", e.hub)
	}
	return fmt.Sprintf("the hub at %s cannot be reached: %v; check that it runs and that --hub or HAWSER_HUB is right", e.hub, e.err)
}

func (e *unreachableError) Unwrap() error { return e.err }

// client builds the API client from the global flags.
func (c *cli) client() (*apiclient.Client, error) {
	u, err := url.Parse(c.hub)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usageError{fmt.Errorf("--hub %q: must be a URL like %s", c.hub, defaultHub)}
	}
	if c.apiKey == "" && !c.anonymous {
		return nil, usageError{errors.New("no API key: log in with hawserctl login, or set --api-key or HAWSER_API_KEY (a hub prints its owner's key at its first start)")}
	}
	config, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	transport.ResponseHeaderTimeout = 90 * time.Second // longer than a command may wait
	return apiclient.Connect(c.hub, c.apiKey, &http.Client{Transport: &changer{c, transport}})
}

func (c *cli) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: c.insecure}
	if c.ca == "" {
		return config, nil
	}
	pem, err := os.ReadFile(c.ca)
	if err != nil {
		return nil, usageError{fmt.Errorf("--ca: %w", err)}
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, usageError{fmt.Errorf("--ca %s: there is no PEM certificate in it", c.ca)}
	}
	return config, nil
}

// request is one call of the generated client.
type request func(context.Context, *apiclient.Client) (*http.Response, error)

// open makes the call and turns everything but a 2xx into an error. The caller closes the body.
func (c *cli) open(ctx context.Context, call request) (*http.Response, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	resp, err := call(ctx, client)
	if err != nil {
		var u *url.Error
		if errors.Is(err, errDryRun) {
			return nil, errDryRun
		}
		if errors.As(err, &u) {
			return nil, &unreachableError{c.hub, u.Err}
		}
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	return nil, c.refusal(resp)
}

// do makes the call and returns the answer's body, nil when it has none.
func (c *cli) do(ctx context.Context, call request) (json.RawMessage, error) {
	resp, err := c.open(ctx, call)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the hub's answer: %w", err)
	}
	if len(b) == 0 {
		return nil, nil
	}
	if !json.Valid(b) {
		return nil, fmt.Errorf("%s answered something that is not JSON: is it a Hawser hub?", c.hub)
	}
	return b, nil
}

func (c *cli) refusal(resp *http.Response) error {
	e := &apiError{hub: c.hub, key: keyName(c.apiKey)}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || json.Unmarshal(b, &e.problem) != nil || e.problem.Code == "" {
		return fmt.Errorf("%s answered %s without saying why: is it a Hawser hub?", c.hub, resp.Status)
	}
	return e
}

// theSession is what a session is called.
const theSession = "the session of this context"

// keyName names a key without its secret.
func keyName(key string) string {
	if strings.HasPrefix(key, "hws_") {
		return theSession
	}
	parts := strings.SplitN(key, "_", 3)
	if len(parts) == 3 && parts[0] == "hwk" {
		return "the API key " + parts[1]
	}
	return "this API key (it does not look like hwk_<id>_<secret>)"
}

// all gets the items of every page, or the first max of them when max is not 0.
func (c *cli) all(ctx context.Context, most int, page func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error)) ([]json.RawMessage, error) {
	var items []json.RawMessage
	var cursor *string
	for {
		limit := 1000
		if most > 0 {
			limit = min(limit, most-len(items))
		}
		b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return page(ctx, client, &limit, cursor)
		})
		if err != nil {
			return nil, err
		}
		var list struct {
			Items      []json.RawMessage
			NextCursor string
			// MissingNodes did not answer the hub that was asked: of some lists they have a part.
			MissingNodes []string
		}
		if err := json.Unmarshal(b, &list); err != nil {
			return nil, fmt.Errorf("read the hub's list: %w", err)
		}
		items = append(items, list.Items...)
		if len(list.MissingNodes) > 0 {
			fmt.Fprintf(c.errOut, "no answer from %s: what they have is missing here\n", strings.Join(list.MissingNodes, ", "))
		}
		if list.NextCursor == "" || most > 0 && len(items) >= most {
			return items, nil
		}
		cursor = &list.NextCursor
	}
}
