package api

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
)

// Users is what the API needs of the users and their sessions.
type Users interface {
	CreateUser(ctx context.Context, n account.NewUser) (*account.User, error)
	User(ctx context.Context, who string) (*account.User, error)
	Users(ctx context.Context, after string, limit int) ([]*account.User, error)
	UpdateUser(ctx context.Context, by *account.Principal, id string, up account.UserUpdate) (*account.User, error)
	DeleteUser(ctx context.Context, by *account.Principal, id string) error
	ResetTOTP(ctx context.Context, by *account.Principal, user string) error
	Memberships(ctx context.Context, user string) ([]*account.Member, error)
	SearchSessions(ctx context.Context, user string, q listing.Query) ([]*account.Session, listing.Page, error)
	EndSession(ctx context.Context, user, id string) error
	EndSessions(ctx context.Context, user, but string) error
	EndSessionsOf(ctx context.Context, by *account.Principal, user, id string) error
}

func (s *server) ListUsers(ctx context.Context, r apitype.ListUsersRequestObject) (apitype.ListUsersResponseObject, error) {
	page, err := pageOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	if page.Limit == 0 {
		page.Limit = registry.DefaultLimit
	}
	list, err := s.Accounts.Users(ctx, page.Cursor, page.Limit)
	if err != nil {
		return nil, err
	}
	out := apitype.ListUsers200JSONResponse{Items: each(list, userOf)}
	if len(list) == page.Limit {
		out.NextCursor = list[len(list)-1].Login
	}
	return out, nil
}

func (s *server) CreateUser(ctx context.Context, r apitype.CreateUserRequestObject) (apitype.CreateUserResponseObject, error) {
	b := r.Body
	u, err := s.Accounts.CreateUser(ctx, account.NewUser{Login: b.Login, Name: b.Name, Password: b.Password, Issuer: b.Issuer, Subject: b.Subject})
	if err != nil {
		return nil, err
	}
	return apitype.CreateUser201JSONResponse(userOf(u)), nil
}

func (s *server) GetUser(ctx context.Context, r apitype.GetUserRequestObject) (apitype.GetUserResponseObject, error) {
	u, err := s.Accounts.User(ctx, r.UserID)
	if err != nil {
		return nil, err
	}
	members, err := s.Accounts.Memberships(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	out := userOf(u)
	out.Memberships = each(members, memberOf)
	return apitype.GetUser200JSONResponse(out), nil
}

func (s *server) UpdateUser(ctx context.Context, r apitype.UpdateUserRequestObject) (apitype.UpdateUserResponseObject, error) {
	b := r.Body
	u, err := s.Accounts.UpdateUser(ctx, account.From(ctx), r.UserID, account.UserUpdate{Login: b.Login, Name: b.Name, Password: b.Password,
		Issuer: b.Issuer, Subject: b.Subject, Disabled: b.Disabled})
	if err != nil {
		return nil, err
	}
	return apitype.UpdateUser200JSONResponse(userOf(u)), nil
}

func (s *server) DeleteUser(ctx context.Context, r apitype.DeleteUserRequestObject) (apitype.DeleteUserResponseObject, error) {
	if err := s.Accounts.DeleteUser(ctx, account.From(ctx), r.UserID); err != nil {
		return nil, err
	}
	return apitype.DeleteUser204Response{}, nil
}

func (s *server) ResetTOTP(ctx context.Context, r apitype.ResetTOTPRequestObject) (apitype.ResetTOTPResponseObject, error) {
	if err := s.Accounts.ResetTOTP(ctx, account.From(ctx), r.UserID); err != nil {
		return nil, err
	}
	return apitype.ResetTOTP204Response{}, nil
}

func (s *server) ListSessions(ctx context.Context, r apitype.ListSessionsRequestObject) (apitype.ListSessionsResponseObject, error) {
	u, err := s.Accounts.User(ctx, r.UserID)
	if err != nil {
		return nil, err
	}
	p := r.Params
	q, err := wholeQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.sessions(ctx, u.ID, q)
	return apitype.ListSessions200JSONResponse(list), err
}

func (s *server) EndSessions(ctx context.Context, r apitype.EndSessionsRequestObject) (apitype.EndSessionsResponseObject, error) {
	if err := s.Accounts.EndSessionsOf(ctx, account.From(ctx), r.UserID, ""); err != nil {
		return nil, err
	}
	return apitype.EndSessions204Response{}, nil
}

func (s *server) EndSession(ctx context.Context, r apitype.EndSessionRequestObject) (apitype.EndSessionResponseObject, error) {
	if err := s.Accounts.EndSessionsOf(ctx, account.From(ctx), r.UserID, r.SessionID); err != nil {
		return nil, err
	}
	return apitype.EndSession204Response{}, nil
}

func (s *server) sessions(ctx context.Context, user string, q listing.Query) (apitype.SessionList, error) {
	list, page, err := s.Accounts.SearchSessions(ctx, user, q)
	if err != nil {
		return apitype.SessionList{}, err
	}
	current := requestOf(ctx).caller.Session
	return apitype.SessionList{Items: each(list, func(e *account.Session) apitype.Session {
		return apitype.Session{ID: e.ID, Method: apitype.SessionMethod(e.Method), Address: e.Address, Agent: e.Agent,
			CreatedAt: e.Created, SeenAt: e.Seen, ExpiresAt: e.Expires, Current: e.ID == current}
	}), NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}, nil
}

func userOf(u *account.User) apitype.User {
	return apitype.User{ID: u.ID, Login: u.Login, Name: u.Name, Disabled: u.Disabled, HasPassword: u.HasPassword, Totp: u.TOTP,
		Issuer: u.Issuer, Subject: u.Subject, CreatedAt: u.Created, UpdatedAt: u.Updated, LastLoginAt: u.LastLogin}
}
