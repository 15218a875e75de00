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
	// Where the request is about no product, Permissions are then those on any of them: what is listed must be filtered.
	Products map[string]Permission
	// Hub is what the caller may do with the hub as a whole.
	Hub Permission
	// Everywhere is a caller of the hub as a whole who named no project: lists are then of all projects, see Within.
	Everywhere bool
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

// Within is the project that a list is limited to, "" for one of all projects.
func (p *Principal) Within() string {
	if p.Everywhere {
		return ""
	}
	return p.Project
}

// Sees tells whether the caller has all of need on a product of a project.
func (p *Principal) Sees(project, product string, need Permission) bool {
	return (p.Everywhere || project == p.Project) && p.On(product).Has(need)
}

// Of is p for a request about one product; nil when p has nothing to do with that.
func (p *Principal) Of(product string) *Principal {
	if p.Products == nil {
		return p
	}
	on, ok := p.Products[product]
	if !ok {
		return nil
	}
	q := *p
	q.Permissions = on
	return &q
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
