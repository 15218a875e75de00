package account

import (
	"context"
	"fmt"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
)

// noRole is what lists say of a member or a key that has no role on the whole project.
const noRole = "none"

// roleField is a Choice of roles, sorted from the strongest down; column holds a Role.
func roleField(column string) listing.Field {
	f := listing.Field{Name: "role", Kind: listing.Choice, Is: map[string]string{noRole: column + ` = ''`}, Sort: true}
	rank := `CASE ` + column
	for i, role := range []Role{RoleOwner, RoleAdmin, RoleOperator, RoleEngineer, RoleViewer} {
		name := string(role)
		f.Values = append(f.Values, name)
		f.Is[name] = column + ` = '` + name + `'`
		rank += fmt.Sprintf(` WHEN '%s' THEN %d`, name, i)
	}
	f.Values = append(f.Values, noRole)
	f.SQL = rank + ` ELSE 9 END`
	return f
}

var listedKeys = listing.Table{From: `api_key`, ID: `id`, Named: true, Order: listing.Created, Words: []string{"name", "id"}, By: "state", Fields: []listing.Field{
	{Name: "name", Kind: listing.Filled, SQL: `name`, Sort: true},
	{Name: "id", Kind: listing.Filled, SQL: `id`},
	roleField(`role`),
	{Name: "state", Kind: listing.Choice, Values: []string{"valid", "expired"},
		Is: map[string]string{"valid": `(expires_at = 0 OR expires_at > ?)`, "expired": `expires_at <> 0 AND expires_at <= ?`}},
	{Name: "pair", Kind: listing.Choice, Values: []string{"yes", "no"}, Is: map[string]string{"yes": `pair <> 0`, "no": `pair = 0`}},
	{Name: "project", SQL: `project`, Sort: true},
	{Name: "creator", SQL: `created_by`},
	{Name: listing.Created, Kind: listing.Moment, SQL: `created_at`, Sort: true},
	{Name: "used", Kind: listing.Never, SQL: `last_used_at`, Sort: true},
	{Name: "expires", Kind: listing.Never, SQL: `expires_at`, Sort: true},
}}

// SearchKeys returns a page of the keys of p's project, or of those of all projects and the hub when p has the right to; by default the
// oldest first.
func (a *Accounts) SearchKeys(ctx context.Context, p *Principal, q listing.Query) ([]*Key, listing.Page, error) {
	cond, args := `1 = 1`, []any(nil)
	if !p.Everywhere {
		cond, args = `project = ?`, []any{p.Project}
	}
	page, err := listedKeys.Page(ctx, a.db, q, cond, args...)
	if err != nil {
		return nil, page, err
	}
	in, args := listing.In(`id`, page.Names)
	list, err := collect(ctx, a.db, scanKey, `SELECT `+keyColumns+` FROM api_key WHERE `+in, args...)
	if err != nil {
		return nil, page, fmt.Errorf("account: list keys: %w", err)
	}
	keys := make([]*Key, len(list))
	for i, rec := range list {
		keys[i] = &rec.key
	}
	return listing.Sort(page.Names, keys, func(k *Key) string { return k.ID }), page, nil
}

var listedMembers = listing.Table{From: `member m JOIN account a ON a.id = m.account`, ID: `m.account`, Named: true, Order: "login",
	Words: []string{"login", "name"}, By: "role", Fields: []listing.Field{
		{Name: "login", Kind: listing.Filled, SQL: `a.login`, Sort: true},
		{Name: "name", Kind: listing.Prefix, SQL: `a.name`, Sort: true},
		roleField(`m.role`),
		{Name: "state", Kind: listing.Choice, Values: []string{"enabled", "disabled"}, SQL: `a.disabled`, Sort: true,
			Is: map[string]string{"enabled": `a.disabled = 0`, "disabled": `a.disabled <> 0`}},
		{Name: "product", Match: `EXISTS (SELECT 1 FROM member_product p WHERE p.account = m.account AND p.project = m.project AND p.product = ?)`},
		{Name: listing.Created, Kind: listing.Moment, SQL: `m.added_at`, Sort: true},
	}}

// SearchMembers returns a page of the members of a project, by default by login; HubProject has those of the hub as a whole.
func (a *Accounts) SearchMembers(ctx context.Context, project string, q listing.Query) ([]*Member, listing.Page, error) {
	page, err := listedMembers.Page(ctx, a.db, q, `m.project = ?`, project)
	if err != nil {
		return nil, page, err
	}
	in, args := listing.In(`m.account`, page.Names)
	list, err := collect(ctx, a.db, scanMember, memberQuery+`WHERE m.project = ? AND `+in, append([]any{project}, args...)...)
	if err == nil {
		in, args = listing.In(`account`, page.Names)
		err = readProductRoles(ctx, a.db, list, `project = ? AND `+in, append([]any{project}, args...)...)
	}
	if err != nil {
		return nil, page, fmt.Errorf("account: list members of %s: %w", project, err)
	}
	return listing.Sort(page.Names, list, func(m *Member) string { return m.User }), page, nil
}

var listedSessions = listing.Table{From: `account_session`, ID: `id`, Named: true, Order: listing.Created, Words: []string{"address", "agent"}, By: "method",
	Fields: []listing.Field{
		{Name: "address", Kind: listing.Prefix, SQL: `address`, Sort: true},
		{Name: "agent", Kind: listing.Prefix, SQL: `agent`, Sort: true},
		{Name: "method", Kind: listing.Choice, Values: []string{MethodPassword, MethodOIDC}, SQL: `CASE method WHEN '` + MethodPassword + `' THEN 0 ELSE 1 END`, Sort: true,
			Is: map[string]string{MethodPassword: `method = '` + MethodPassword + `'`, MethodOIDC: `method = '` + MethodOIDC + `'`}},
		{Name: listing.Created, Kind: listing.Moment, SQL: `created_at`, Sort: true},
		{Name: "seen", Kind: listing.Moment, SQL: `seen_at`, Sort: true},
		{Name: "expires", Kind: listing.Moment, SQL: `expires_at`, Sort: true},
	}}

// SearchSessions returns a page of the sessions of a user that have not ended, by default the oldest first.
func (a *Accounts) SearchSessions(ctx context.Context, user string, q listing.Query) ([]*Session, listing.Page, error) {
	now := a.now()
	page, err := listedSessions.Page(ctx, a.db, q, `account = ? AND expires_at > ? AND seen_at > ?`, user, now.UnixMilli(), now.Add(-a.cfg.SessionIdle).UnixMilli())
	if err != nil {
		return nil, page, err
	}
	in, args := listing.In(`id`, page.Names)
	list, err := collect(ctx, a.db, scanSession, `SELECT `+sessionColumns+` FROM account_session WHERE `+in, args...)
	if err != nil {
		return nil, page, fmt.Errorf("account: list sessions: %w", err)
	}
	sessions := make([]*Session, len(list))
	for i, rec := range list {
		sessions[i] = &rec.session
	}
	return listing.Sort(page.Names, sessions, func(s *Session) string { return s.ID }), page, nil
}
