package account

import (
	"maps"
	"slices"
	"time"
)

// HubProject stands for the hub as a whole where a project is asked for: who is a member of it is one of every project.
const HubProject = "hub"

// Grant is what somebody has in one project.
type Grant struct {
	Project     string
	Permissions Permission
	// Products limits the grant to these products, with the permissions on each; nil is all of the project.
	Products map[string]Permission
}

// Identity is somebody who may call, with all that they have. It is immutable and shared by requests.
type Identity struct {
	Kind     Kind
	ID, Name string
	Expires  time.Time // of a key; zero: never

	hub        Permission            // on the hub as a whole, and so in every project
	principals map[string]*Principal // by project
	home       *Principal            // where no project is named; nil when one must be
}

// Caller is an identity in the one way in which it came.
type Caller struct {
	*Identity
	Session string    // the session's id, of a user
	Expires time.Time // when the token ends; zero: never
	Cookie  bool      // it came as a cookie, which browsers send unasked
}

// newIdentity works out the principals once, so that a request only looks one up.
func newIdentity(kind Kind, id, name string, grants []Grant) *Identity {
	i := &Identity{Kind: kind, ID: id, Name: name, principals: map[string]*Principal{}}
	for _, g := range grants {
		if g.Project == HubProject && g.Products == nil {
			i.hub |= g.Permissions
		}
	}
	for _, g := range grants {
		if g.Project != HubProject {
			i.principals[g.Project] = i.principal(g)
		}
	}
	i.home = i.principals[DefaultProject]
	switch {
	case i.hub != 0:
		i.home = i.principal(Grant{Project: DefaultProject})
		i.home.Everywhere = true
	case i.home == nil && len(i.principals) == 1:
		for _, p := range i.principals {
			i.home = p
		}
	}
	return i
}

// principal is what i is in a project with that grant. A right on the hub as a whole lifts the limit to some products.
func (i *Identity) principal(g Grant) *Principal {
	p := &Principal{Kind: i.Kind, ID: i.ID, Name: i.Name, Project: g.Project, Hub: i.hub, Permissions: g.Permissions | i.hub}
	if g.Products == nil || i.hub != 0 {
		return p
	}
	p.Products, p.Permissions = g.Products, 0
	for _, on := range g.Products {
		p.Permissions |= on
	}
	return p
}

// In is what the caller may do in a project, nil when they have nothing there.
func (i *Identity) In(project string) *Principal {
	if p := i.principals[project]; p != nil {
		return p
	}
	if i.hub == 0 {
		return nil
	}
	return i.principal(Grant{Project: project})
}

// Hub is what the caller may do with the hub as a whole.
func (i *Identity) Hub() Permission { return i.hub }

// Projects are those that the caller has something in, besides what they have in all.
func (i *Identity) Projects() []string { return slices.Sorted(maps.Keys(i.principals)) }

// Home is the caller where no project is named: in the default project if they have it, else in their only one. It is nil
// when there are several to choose from, or none.
func (i *Identity) Home() *Principal { return i.home }

// Nowhere is the caller in no project, for what concerns nobody else.
func (i *Identity) Nowhere() *Principal {
	return &Principal{Kind: i.Kind, ID: i.ID, Name: i.Name, Hub: i.hub}
}

// covers tells whether p may give or take what grants hold. Who is limited to some products gives nothing.
func (p *Principal) covers(grants ...Grant) bool {
	for _, g := range grants {
		have := p.Hub
		if g.Project == p.Project && p.Products == nil {
			have |= p.Permissions
		}
		if g.Project == HubProject {
			have = p.Hub
		}
		need := g.Permissions
		for _, on := range g.Products {
			need |= on
		}
		if !have.Has(need) {
			return false
		}
	}
	return true
}
