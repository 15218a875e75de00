package api

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// Keys is what the API needs of the accounts.
type Keys interface {
	Verify(ctx context.Context, text string) (*account.Key, error)
	Create(ctx context.Context, n account.NewKey) (text string, key *account.Key, err error)
	List(ctx context.Context) ([]*account.Key, error)
	Delete(ctx context.Context, id string) error
}

func (s *server) ListAPIKeys(ctx context.Context, _ apitype.ListAPIKeysRequestObject) (apitype.ListAPIKeysResponseObject, error) {
	list, err := s.Keys.List(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]apitype.APIKey, len(list))
	for i, k := range list {
		items[i] = keyOf(k)
	}
	return apitype.ListAPIKeys200JSONResponse{Items: items}, nil
}

func (s *server) CreateAPIKey(ctx context.Context, r apitype.CreateAPIKeyRequestObject) (apitype.CreateAPIKeyResponseObject, error) {
	n := account.NewKey{Name: r.Body.Name, Role: account.Role(r.Body.Role), Expires: r.Body.ExpiresAt}
	if n.Role == "" {
		n.Role = account.RoleOwner
	}
	text, k, err := s.Keys.Create(ctx, n)
	if err != nil {
		return nil, err
	}
	out := keyOf(k)
	out.Key = text
	return apitype.CreateAPIKey201JSONResponse(out), nil
}

func (s *server) DeleteAPIKey(ctx context.Context, r apitype.DeleteAPIKeyRequestObject) (apitype.DeleteAPIKeyResponseObject, error) {
	if err := s.Keys.Delete(ctx, r.KeyID); err != nil {
		return nil, err
	}
	return apitype.DeleteAPIKey204Response{}, nil
}

func keyOf(k *account.Key) apitype.APIKey {
	return apitype.APIKey{ID: k.ID, Name: k.Name, Role: apitype.Role(k.Role), CreatedAt: k.Created, LastUsedAt: k.LastUsed, ExpiresAt: k.Expires}
}
