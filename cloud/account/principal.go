package account

import "context"

// DefaultProject is the project that is there from the start.
const DefaultProject = "default"

// Kind says what kind of caller a Principal is.
type Kind string

// The kinds of caller.
const (
	KindKey  Kind = "key"
	KindUser Kind = "user"
)

// Principal is who makes a request, and what they may do in it: the permissions are those in the request's project and,
// below a product, on that product. It is immutable.
type Principal struct {
	Kind        Kind
	ID, Name    string
	Project     string // the project that the request acts in
	Permissions Permission
	// Products are the products that the caller is limited to, with the permissions on each; nil is all of the project.
	Products map[string]Permission
}

// May tells whether the caller has all of need; nobody has nothing.
func (p *Principal) May(need Permission) bool { return p != nil && p.Permissions.Has(need) }

// On is what the caller may do with a product of the request's project.
func (p *Principal) On(product string) Permission {
	if p.Products == nil {
		return p.Permissions
	}
	return p.Products[product]
}

type principalKey struct{}

// WithPrincipal returns a context that carries p.
func WithPrincipal(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns the caller of ctx, nil when it has none.
func From(ctx context.Context) *Principal {
	p, _ := ctx.Value(principalKey{}).(*Principal)
	return p
}
