package api

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
)

// Projects is what the API needs of the projects and their members.
type Projects interface {
	CreateProject(ctx context.Context, n account.NewProject) (*account.Project, error)
	Project(ctx context.Context, id string) (*account.Project, error)
	Projects(ctx context.Context, by *account.Identity) ([]*account.Project, error)
	UpdateProject(ctx context.Context, by *account.Principal, id string, u account.ProjectUpdate) (*account.Project, error)
	DeleteProject(ctx context.Context, id string) error

	SearchMembers(ctx context.Context, project string, q listing.Query) ([]*account.Member, listing.Page, error)
	Member(ctx context.Context, project, who string) (*account.Member, error)
	AddMember(ctx context.Context, p *account.Principal, who string, role account.Role, products map[string]account.Role) (*account.Member, error)
	SetMember(ctx context.Context, p *account.Principal, who string, role account.Role, products map[string]account.Role) (*account.Member, error)
	RemoveMember(ctx context.Context, p *account.Principal, who string) error
}

func (s *server) ListProjects(ctx context.Context, _ apitype.ListProjectsRequestObject) (apitype.ListProjectsResponseObject, error) {
	list, err := s.Accounts.Projects(ctx, requestOf(ctx).caller.Identity)
	if err != nil {
		return nil, err
	}
	return apitype.ListProjects200JSONResponse{Items: each(list, projectTo)}, nil
}

func (s *server) CreateProject(ctx context.Context, r apitype.CreateProjectRequestObject) (apitype.CreateProjectResponseObject, error) {
	b := r.Body
	p, err := s.Accounts.CreateProject(ctx, account.NewProject{ID: b.ID, Name: b.Name, Description: b.Description, Quota: quotaOf(b.Quota)})
	if err != nil {
		return nil, err
	}
	return apitype.CreateProject201JSONResponse(projectTo(p)), nil
}

func (s *server) GetProject(ctx context.Context, r apitype.GetProjectRequestObject) (apitype.GetProjectResponseObject, error) {
	p, err := s.Accounts.Project(ctx, r.ProjectID)
	if err != nil {
		return nil, err
	}
	return apitype.GetProject200JSONResponse(projectTo(p)), nil
}

func (s *server) UpdateProject(ctx context.Context, r apitype.UpdateProjectRequestObject) (apitype.UpdateProjectResponseObject, error) {
	u := account.ProjectUpdate{Name: r.Body.Name, Description: r.Body.Description, CampaignApproval: r.Body.CampaignApproval}
	if r.Body.Quota != nil {
		q := quotaOf(*r.Body.Quota)
		u.Quota = &q
	}
	p, err := s.Accounts.UpdateProject(ctx, account.From(ctx), r.ProjectID, u)
	if err != nil {
		return nil, err
	}
	return apitype.UpdateProject200JSONResponse(projectTo(p)), nil
}

func (s *server) DeleteProject(ctx context.Context, r apitype.DeleteProjectRequestObject) (apitype.DeleteProjectResponseObject, error) {
	if err := s.Accounts.DeleteProject(ctx, r.ProjectID); err != nil {
		return nil, err
	}
	return apitype.DeleteProject204Response{}, nil
}

func (s *server) ListMembers(ctx context.Context, r apitype.ListMembersRequestObject) (apitype.ListMembersResponseObject, error) {
	p := r.Params
	q, err := wholeQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, page, err := s.Accounts.SearchMembers(ctx, r.ProjectID, q)
	if err != nil {
		return nil, err
	}
	return apitype.ListMembers200JSONResponse{Items: each(list, memberOf), NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}, nil
}

func (s *server) AddMember(ctx context.Context, r apitype.AddMemberRequestObject) (apitype.AddMemberResponseObject, error) {
	m, err := s.Accounts.AddMember(ctx, account.From(ctx), r.Body.User, account.Role(r.Body.Role), rolesOf(r.Body.Products))
	if err != nil {
		return nil, err
	}
	return apitype.AddMember201JSONResponse(memberOf(m)), nil
}

func (s *server) GetMember(ctx context.Context, r apitype.GetMemberRequestObject) (apitype.GetMemberResponseObject, error) {
	m, err := s.Accounts.Member(ctx, r.ProjectID, r.UserID)
	if err != nil {
		return nil, err
	}
	return apitype.GetMember200JSONResponse(memberOf(m)), nil
}

func (s *server) SetMember(ctx context.Context, r apitype.SetMemberRequestObject) (apitype.SetMemberResponseObject, error) {
	m, err := s.Accounts.SetMember(ctx, account.From(ctx), r.UserID, account.Role(r.Body.Role), rolesOf(r.Body.Products))
	if err != nil {
		return nil, err
	}
	return apitype.SetMember200JSONResponse(memberOf(m)), nil
}

func (s *server) RemoveMember(ctx context.Context, r apitype.RemoveMemberRequestObject) (apitype.RemoveMemberResponseObject, error) {
	if err := s.Accounts.RemoveMember(ctx, account.From(ctx), r.UserID); err != nil {
		return nil, err
	}
	return apitype.RemoveMember204Response{}, nil
}

func projectTo(p *account.Project) apitype.Project {
	q := p.Quota
	return apitype.Project{ID: p.ID, Name: p.Name, Description: p.Description, CampaignApproval: p.CampaignApproval, CreatedAt: p.Created, UpdatedAt: p.Updated,
		Quota: apitype.Quota{Devices: q.Devices, Products: q.Products, Rules: q.Rules, Users: q.Users, APIKeys: q.Keys}}
}

func quotaOf(q apitype.Quota) account.Quota {
	return account.Quota{Devices: q.Devices, Products: q.Products, Rules: q.Rules, Users: q.Users, Keys: q.APIKeys}
}

func memberOf(m *account.Member) apitype.Member {
	out := apitype.Member{Project: m.Project, User: m.User, Login: m.Login, Name: m.Name, Disabled: m.Disabled, Role: string(m.Role), AddedAt: m.Added}
	if len(m.Products) > 0 {
		out.Products = make(map[string]string, len(m.Products))
		for sn, role := range m.Products {
			out.Products[sn] = string(role)
		}
	}
	return out
}

func rolesOf(products map[string]string) map[string]account.Role {
	if len(products) == 0 {
		return nil
	}
	out := make(map[string]account.Role, len(products))
	for sn, role := range products {
		out[sn] = account.Role(role)
	}
	return out
}
