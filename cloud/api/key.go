package api

import (
	"context"
	"slices"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
)

// Keys is what the API needs of the API keys.
type Keys interface {
	CreateKey(ctx context.Context, by *account.Caller, p *account.Principal, n account.NewKey) (text string, key *account.Key, err error)
	SearchKeys(ctx context.Context, p *account.Principal, q listing.Query) ([]*account.Key, listing.Page, error)
	Key(ctx context.Context, p *account.Principal, id string) (*account.Key, error)
	DeleteKey(ctx context.Context, p *account.Principal, id string) error
}

func (s *server) ListAPIKeys(ctx context.Context, r apitype.ListAPIKeysRequestObject) (apitype.ListAPIKeysResponseObject, error) {
	p := r.Params
	q, err := wholeQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, page, err := s.Accounts.SearchKeys(ctx, account.From(ctx), q)
	if err != nil {
		return nil, err
	}
	return apitype.ListAPIKeys200JSONResponse{Items: each(list, keyOf), NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}, nil
}

func (s *server) CreateAPIKey(ctx context.Context, r apitype.CreateAPIKeyRequestObject) (apitype.CreateAPIKeyResponseObject, error) {
	b := r.Body
	n := account.NewKey{Name: b.Name, Project: b.Project, Role: account.Role(b.Role), Products: b.Products, Expires: b.ExpiresAt, Pair: b.Pair}
	for sn, role := range b.ProductRoles {
		if n.ProductRoles == nil {
			n.ProductRoles = map[string]account.Role{}
		}
		n.ProductRoles[sn] = account.Role(role)
	}
	for _, name := range b.Permissions {
		p, ok := account.ParsePermission(name)
		if !ok {
			return nil, invalid("permissions", "permissions: there is no %q", name)
		}
		n.Permissions |= p
	}
	if n.Role == "" && n.Permissions == 0 && len(n.ProductRoles) == 0 {
		n.Role = account.RoleOwner
	}
	p := account.From(ctx)
	if n.Project != "" && n.Project != p.Project { // the body's project is a place like the header's: the caller must have it
		if p = requestOf(ctx).caller.In(n.Project); p == nil {
			return nil, account.ErrProjectNotFound
		}
	}
	if n.Project != "" {
		requestOf(ctx).place = n.Project
	} else if p.Everywhere {
		requestOf(ctx).place = account.HubProject
	}
	text, k, err := s.Accounts.CreateKey(ctx, requestOf(ctx).caller, p, n)
	if err != nil {
		return nil, err
	}
	out := keyOf(k)
	if out.Key = text; k.Pair {
		out.Key, out.PrivateKey = "", text
	}
	return apitype.CreateAPIKey201JSONResponse(out), nil
}

func (s *server) GetAPIKey(ctx context.Context, r apitype.GetAPIKeyRequestObject) (apitype.GetAPIKeyResponseObject, error) {
	k, err := s.Accounts.Key(ctx, account.From(ctx), r.KeyID)
	if err != nil {
		return nil, err
	}
	requestOf(ctx).place = k.Project
	return apitype.GetAPIKey200JSONResponse(keyOf(k)), nil
}

func (s *server) DeleteAPIKey(ctx context.Context, r apitype.DeleteAPIKeyRequestObject) (apitype.DeleteAPIKeyResponseObject, error) {
	if err := s.Accounts.DeleteKey(ctx, account.From(ctx), r.KeyID); err != nil {
		return nil, err
	}
	return apitype.DeleteAPIKey204Response{}, nil
}

func keyOf(k *account.Key) apitype.APIKey {
	var roles map[string]string
	for sn, role := range k.ProductRoles {
		if roles == nil {
			roles = map[string]string{}
		}
		roles[sn] = string(role)
	}
	return apitype.APIKey{ID: k.ID, Name: k.Name, Project: k.Project, Role: string(k.Role), Permissions: k.Permissions.Names(), Products: slices.Clone(k.Products), ProductRoles: roles,
		Pair: k.Pair, PublicKey: k.PublicKey(), CreatedBy: k.CreatedBy, CreatedAt: k.Created, LastUsedAt: k.LastUsed, ExpiresAt: k.Expires}
}

// each translates a list; an empty one is no null.
func each[T, U any](list []T, f func(T) U) []U {
	out := make([]U, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}
