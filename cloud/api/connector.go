package api

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/rules/connector"
)

// Connectors is what the API needs of the connectors.
type Connectors interface {
	Search(ctx context.Context, project string, q listing.Query) ([]*connector.Connector, listing.Page, error)
	Get(ctx context.Context, id int64) (*connector.Connector, error)
	Create(ctx context.Context, n connector.NewConnector) (*connector.Connector, error)
	Update(ctx context.Context, id int64, ch connector.Change) (*connector.Connector, error)
	Delete(ctx context.Context, id int64) error
	Test(ctx context.Context, kind string, config json.RawMessage) (connector.TestResult, error)
	TestStored(ctx context.Context, id int64, config json.RawMessage) (connector.TestResult, error)
	Status(id int64) connector.Status
}

var _ Connectors = (*connector.Connectors)(nil)

func (s *server) ListConnectors(ctx context.Context, r apitype.ListConnectorsRequestObject) (apitype.ListConnectorsResponseObject, error) {
	p := r.Params
	q, err := listQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, page, err := s.Connectors.Search(ctx, account.From(ctx).Within(), q)
	if err != nil {
		return nil, err
	}
	used, err := s.Rules.ConnectorRules(ctx, page.IDs)
	if err != nil {
		return nil, err
	}
	out := apitype.ListConnectors200JSONResponse{Items: make([]apitype.Connector, len(list)), NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}
	for i, c := range list {
		out.Items[i] = s.connectorOf(c)
		out.Items[i].Rules = used[c.ID]
	}
	return out, nil
}

func (s *server) ListConnectorUses(ctx context.Context, r apitype.ListConnectorUsesRequestObject) (apitype.ListConnectorUsesResponseObject, error) {
	c, err := s.connector(ctx, r.ConnectorID)
	if err != nil {
		return nil, err
	}
	list, err := s.Rules.ConnectorUses(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	out := apitype.ListConnectorUses200JSONResponse{Items: make([]apitype.ConnectorUse, len(list))}
	for i, u := range list {
		out.Items[i] = apitype.ConnectorUse{RuleID: strconv.FormatInt(u.Rule, 10), RuleName: u.RuleName, Enabled: u.Enabled, ActionID: strconv.FormatInt(u.Action, 10),
			Kind: u.Kind, Role: apitype.ConnectorUseRole(u.Role.String())}
	}
	return out, nil
}

func (s *server) CreateConnector(ctx context.Context, r apitype.CreateConnectorRequestObject) (apitype.CreateConnectorResponseObject, error) {
	c, err := s.Connectors.Create(ctx, connector.NewConnector{Project: account.From(ctx).Project, Name: r.Body.Name, Description: r.Body.Description,
		Kind: r.Body.Kind, Config: r.Body.Config})
	if err != nil {
		return nil, err
	}
	return apitype.CreateConnector201JSONResponse(s.connectorOf(c)), nil
}

func (s *server) GetConnector(ctx context.Context, r apitype.GetConnectorRequestObject) (apitype.GetConnectorResponseObject, error) {
	c, err := s.connector(ctx, r.ConnectorID)
	if err != nil {
		return nil, err
	}
	return apitype.GetConnector200JSONResponse(s.connectorOf(c)), nil
}

func (s *server) UpdateConnector(ctx context.Context, r apitype.UpdateConnectorRequestObject) (apitype.UpdateConnectorResponseObject, error) {
	c, err := s.connector(ctx, r.ConnectorID)
	if err != nil {
		return nil, err
	}
	c, err = s.Connectors.Update(ctx, c.ID, connector.Change{Name: &r.Body.Name, Description: &r.Body.Description, Config: r.Body.Config,
		IfRevision: ifRevision(ctx)})
	if err != nil {
		return nil, err
	}
	return apitype.UpdateConnector200JSONResponse(s.connectorOf(c)), nil
}

func (s *server) DeleteConnector(ctx context.Context, r apitype.DeleteConnectorRequestObject) (apitype.DeleteConnectorResponseObject, error) {
	c, err := s.connector(ctx, r.ConnectorID)
	if err != nil {
		return nil, err
	}
	if err := s.Connectors.Delete(ctx, c.ID); err != nil {
		return nil, err
	}
	return apitype.DeleteConnector204Response{}, nil
}

func (s *server) TestConnector(ctx context.Context, r apitype.TestConnectorRequestObject) (apitype.TestConnectorResponseObject, error) {
	result, err := s.Connectors.Test(ctx, r.Body.Kind, r.Body.Config)
	if err != nil {
		return nil, err
	}
	return apitype.TestConnector200JSONResponse(testOf(result)), nil
}

func (s *server) TestStoredConnector(ctx context.Context, r apitype.TestStoredConnectorRequestObject) (apitype.TestStoredConnectorResponseObject, error) {
	c, err := s.connector(ctx, r.ConnectorID)
	if err != nil {
		return nil, err
	}
	var config json.RawMessage
	if r.Body != nil {
		config = r.Body.Config
	}
	result, err := s.Connectors.TestStored(ctx, c.ID, config)
	if err != nil {
		return nil, err
	}
	return apitype.TestStoredConnector200JSONResponse(testOf(result)), nil
}

// connector finds a connector that the caller may know of. One that is none, or another project's, is one that does not exist.
func (s *server) connector(ctx context.Context, text string) (*connector.Connector, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, connector.ErrNotFound
	}
	c, err := s.Connectors.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if within := account.From(ctx).Within(); within != "" && c.Project != within {
		return nil, connector.ErrNotFound
	}
	requestOf(ctx).place = c.Project
	return c, nil
}

func (s *server) connectorOf(c *connector.Connector) apitype.Connector {
	st := s.Connectors.Status(c.ID)
	if st.Since.IsZero() {
		st.Since = c.Updated
	}
	return apitype.Connector{ID: strconv.FormatInt(c.ID, 10), Name: c.Name, Description: c.Description, Kind: c.Kind, Config: c.Config,
		Secrets: append([]string{}, c.Secrets...), Revision: c.Revision, CreatedAt: c.Created, UpdatedAt: c.Updated,
		Status: apitype.ConnectorStatus{State: apitype.ConnectorStatusState(st.State), Since: st.Since, LastError: plain(st.LastError), LastErrorAt: st.LastErrorAt}}
}

func testOf(r connector.TestResult) apitype.ConnectorTest {
	out := apitype.ConnectorTest{Ok: r.OK, TookMillis: r.Took.Milliseconds()}
	if r.Err != nil {
		out.Error = plain(r.Err.Error())
	}
	return out
}
