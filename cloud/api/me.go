package api

import (
	"context"
	"net/http"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// Self is what the API needs of the accounts for what callers do to themselves.
type Self interface {
	ChangePassword(ctx context.Context, c *account.Caller, with account.Credentials, password string, from account.Origin) error
	EnrolTOTP(ctx context.Context, c *account.Caller, with account.Credentials, from account.Origin) (*account.Enrolment, error)
	ConfirmTOTP(ctx context.Context, c *account.Caller, code string, from account.Origin) ([]string, error)
	RenewRecovery(ctx context.Context, c *account.Caller, with account.Credentials, from account.Origin) ([]string, error)
	DisableTOTP(ctx context.Context, c *account.Caller, with account.Credentials, from account.Origin) error
}

// user is the caller, who must be one that has logged in.
func user(ctx context.Context) (*account.Caller, error) {
	c := requestOf(ctx).caller
	if c.Kind != account.KindUser {
		return nil, account.ErrNotUser
	}
	return c, nil
}

func (s *server) GetMe(ctx context.Context, _ apitype.GetMeRequestObject) (apitype.GetMeResponseObject, error) {
	c := requestOf(ctx).caller
	out := apitype.Me{Kind: apitype.MeKind(c.Kind), ID: c.ID, Name: c.Name, Session: c.Session, ExpiresAt: c.Expires, Hub: c.Hub().Names(), Projects: []apitype.MyProject{}}
	if home := c.Home(); home != nil {
		out.Project = home.Project
	}
	for _, id := range c.Projects() {
		p := c.In(id)
		mine := apitype.MyProject{ID: id, Permissions: p.Permissions.Names()}
		for sn, on := range p.Products {
			if mine.Products == nil {
				mine.Products = map[string][]apitype.Permission{}
			}
			mine.Products[sn] = on.Names()
		}
		out.Projects = append(out.Projects, mine)
	}
	if c.Kind == account.KindUser {
		u, err := s.Accounts.User(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		out.Totp = u.TOTP
	}
	return apitype.GetMe200JSONResponse(out), nil
}

// loggedOut takes the cookie back, too, and what the browser has kept of answers.
type loggedOut struct{}

func (loggedOut) VisitLogoutResponse(w http.ResponseWriter) error {
	setCookie(w, sessionCookie, "", 0)
	w.Header().Set("Clear-Site-Data", `"cache"`)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) Logout(ctx context.Context, _ apitype.LogoutRequestObject) (apitype.LogoutResponseObject, error) {
	c, err := user(ctx)
	if err != nil {
		return nil, err
	}
	return loggedOut{}, s.Accounts.EndSession(ctx, c.ID, c.Session)
}

func (s *server) ChangePassword(ctx context.Context, r apitype.ChangePasswordRequestObject) (apitype.ChangePasswordResponseObject, error) {
	b, known := r.Body, requestOf(ctx)
	with := account.Credentials{Password: b.Password, Code: b.Code, Recovery: b.RecoveryCode}
	if err := s.Accounts.ChangePassword(ctx, known.caller, with, b.NewPassword, known.from); err != nil {
		return nil, err
	}
	return apitype.ChangePassword204Response{}, nil
}

func confirmation(c *apitype.Confirmation) account.Credentials {
	return account.Credentials{Password: c.Password, Code: c.Code, Recovery: c.RecoveryCode}
}

func (s *server) EnrolTOTP(ctx context.Context, r apitype.EnrolTOTPRequestObject) (apitype.EnrolTOTPResponseObject, error) {
	known := requestOf(ctx)
	e, err := s.Accounts.EnrolTOTP(ctx, known.caller, confirmation(r.Body), known.from)
	if err != nil {
		return nil, err
	}
	return apitype.EnrolTOTP200JSONResponse{Secret: e.Secret, OtpauthURL: e.URL}, nil
}

func (s *server) ConfirmTOTP(ctx context.Context, r apitype.ConfirmTOTPRequestObject) (apitype.ConfirmTOTPResponseObject, error) {
	known := requestOf(ctx)
	codes, err := s.Accounts.ConfirmTOTP(ctx, known.caller, r.Body.Code, known.from)
	if err != nil {
		return nil, err
	}
	return apitype.ConfirmTOTP200JSONResponse{RecoveryCodes: codes}, nil
}

func (s *server) RenewRecoveryCodes(ctx context.Context, r apitype.RenewRecoveryCodesRequestObject) (apitype.RenewRecoveryCodesResponseObject, error) {
	known := requestOf(ctx)
	codes, err := s.Accounts.RenewRecovery(ctx, known.caller, confirmation(r.Body), known.from)
	if err != nil {
		return nil, err
	}
	return apitype.RenewRecoveryCodes200JSONResponse{RecoveryCodes: codes}, nil
}

func (s *server) DisableTOTP(ctx context.Context, r apitype.DisableTOTPRequestObject) (apitype.DisableTOTPResponseObject, error) {
	known := requestOf(ctx)
	if err := s.Accounts.DisableTOTP(ctx, known.caller, confirmation(r.Body), known.from); err != nil {
		return nil, err
	}
	return apitype.DisableTOTP204Response{}, nil
}

func (s *server) ListMySessions(ctx context.Context, r apitype.ListMySessionsRequestObject) (apitype.ListMySessionsResponseObject, error) {
	c, err := user(ctx)
	if err != nil {
		return nil, err
	}
	p := r.Params
	q, err := wholeQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.sessions(ctx, c.ID, q)
	return apitype.ListMySessions200JSONResponse(list), err
}

func (s *server) EndMySessions(ctx context.Context, _ apitype.EndMySessionsRequestObject) (apitype.EndMySessionsResponseObject, error) {
	c, err := user(ctx)
	if err != nil {
		return nil, err
	}
	return apitype.EndMySessions204Response{}, s.Accounts.EndSessions(ctx, c.ID, c.Session)
}

func (s *server) EndMySession(ctx context.Context, r apitype.EndMySessionRequestObject) (apitype.EndMySessionResponseObject, error) {
	c, err := user(ctx)
	if err != nil {
		return nil, err
	}
	return apitype.EndMySession204Response{}, s.Accounts.EndSession(ctx, c.ID, r.SessionID)
}
