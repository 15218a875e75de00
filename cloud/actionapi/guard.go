package actionapi

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/credential"
)

// Accounts is what the API needs of the accounts.
type Accounts interface {
	AuthenticatePair(ctx context.Context, publicKey string, from account.Origin, right func(credential.Secret) bool) (*account.Caller, error)
	Project(ctx context.Context, id string) (*account.Project, error)
	Accompany(ctx context.Context, entry func() *account.Entry) (context.Context, *account.Pending)
	Record(ctx context.Context, e account.Entry) error
}

var _ Accounts = (*account.Accounts)(nil)

// call is one request on its way.
type call struct {
	*params
	http    *http.Request
	request string // its id
	title   string // the action's name
	action  *action
	known   bool // the caller is
	caller  *account.Caller
	product *registry.Product // that the action is about, nil for none
	made    string            // in the path of the object, what was made
}

func newCall(r *http.Request) *call {
	return &call{http: r, request: strings.ToLower(rand.Text()[:16])}
}

// name finds the action.
func (c *call) name() error {
	if c.title = c.text("Action"); c.title == "" {
		return fault{codeNoAction, "the parameter Action is missing"}
	}
	a, ok := actions[c.title]
	if !ok {
		return fault{codeUnknownAction, "there is no action " + cut(c.title)}
	}
	c.action = &a
	return nil
}

func (f *face) authenticate(ctx context.Context, c *call) (*account.Caller, error) {
	if c.text(signatureParam) == "" {
		return nil, fault{codeNoSignature, "the parameter Signature is missing"}
	}
	from := account.Origin{Address: c.http.RemoteAddr, Agent: c.http.UserAgent()}
	caller, err := f.Accounts.AuthenticatePair(ctx, c.text("PublicKey"), from, c.signed)
	switch {
	case errors.Is(err, account.ErrNoPair):
		return nil, fault{codeNoUser, "User Not Exists: the PublicKey is none of this hub, or it is not encoded as a URL wants it; hawserctl key create --pair makes one"}
	case errors.Is(err, account.ErrSignature):
		return nil, fault{codeSignature, "Signature VerifyAC Error"}
	}
	return caller, err
}

// admit lets the caller through to the action, in the project that it is about, or refuses. The context carries who they are there.
func (f *face) admit(ctx context.Context, c *call) (context.Context, error) {
	p, err := f.scope(ctx, c)
	if err == nil {
		err = c.allowed(p)
	}
	if err != nil {
		if c.action.change {
			f.auditRefusal(ctx, c, p, err)
		}
		return ctx, err
	}
	return account.WithPrincipal(ctx, p), nil
}

// scope is the caller in the project that the request is about, as the API has it: what is in another project is not told from what
// does not exist.
func (f *face) scope(ctx context.Context, c *call) (*account.Principal, error) {
	p, err := f.place(ctx, c)
	if err != nil || c.action.of == "" {
		return p, err
	}
	sn, err := c.need(c.action.of)
	if err != nil {
		return p, err
	}
	product, err := f.Products.Product(ctx, sn)
	if err != nil {
		return p, err
	}
	if !p.Everywhere && product.Project != p.Project {
		return c.caller.Nowhere(), registry.ErrProductNotFound
	}
	if in := c.caller.In(product.Project); in != nil {
		if in = in.Of(sn); in != nil {
			c.product = product
			return in, nil
		}
	}
	return c.caller.Nowhere(), registry.ErrProductNotFound
}

// place is the project: the one that the key is for, whatever the ProjectId of a program that comes from elsewhere says; a key of the
// whole hub takes the one that is named.
func (f *face) place(ctx context.Context, c *call) (*account.Principal, error) {
	named := c.text("ProjectId")
	if c.caller.Hub() != 0 && named != "" {
		if _, err := f.Accounts.Project(ctx, named); err != nil {
			if errors.Is(err, account.ErrProjectNotFound) {
				err = fault{codeNoProject, "ProjectId: there is no project " + cut(named) + "; leave it out, or make the key pair for one project"}
			}
			return c.caller.Nowhere(), err
		}
		return c.caller.In(named), nil
	}
	if p := c.caller.Home(); p != nil {
		return p, nil
	}
	return c.caller.Nowhere(), nil
}

// allowed tells whether p may do the action. Who is limited to some products stays below them.
func (c *call) allowed(p *account.Principal) error {
	have := p.Permissions
	if p.Products != nil && c.action.of == "" && !c.action.filtered {
		have = 0
	}
	if have.Has(c.action.need) {
		return nil
	}
	return fault{codeForbidden, "the key " + p.ID + " lacks the permission " + c.action.need.String()}
}
