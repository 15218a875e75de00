package account

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Member is a user in a project, or in the hub as a whole.
type Member struct {
	Project           string
	User, Login, Name string
	Disabled          bool
	Role              Role            // on the whole project; "" for a member of some products alone
	Products          map[string]Role // a role on each of these products
	Added             time.Time
}

// grant is what m has. With a role on the whole project the products add to it nothing that a limit could take away, so
// that there a limit is none.
func (m *Member) grant() Grant {
	g := Grant{Project: m.Project, Permissions: m.Role.Permissions()}
	if m.Role != "" {
		return g
	}
	g.Products = make(map[string]Permission, len(m.Products))
	for sn, role := range m.Products {
		g.Products[sn] = role.Permissions()
	}
	return g
}

const memberQuery = `SELECT m.project, m.account, a.login, a.name, a.disabled, m.role, m.added_at FROM member m JOIN account a ON a.id = m.account `

func scanMember(row scanner) (*Member, error) {
	var m Member
	var role string
	var disabled, added int64
	err := row.Scan(&m.Project, &m.User, &m.Login, &m.Name, &disabled, &role, &added)
	m.Role, m.Disabled, m.Added = Role(role), disabled != 0, fromMillis(added)
	return &m, err
}

// readProductRoles adds the roles on single products to members.
func readProductRoles(ctx context.Context, on querier, members []*Member, where string, args ...any) error {
	type row struct{ project, account, product, role string }
	rows, err := collect(ctx, on, func(s scanner) (r row, err error) {
		return r, s.Scan(&r.project, &r.account, &r.product, &r.role)
	}, `SELECT project, account, product, role FROM member_product WHERE `+where, args...)
	if err != nil {
		return err
	}
	for _, r := range rows {
		for _, m := range members {
			if m.Project != r.project || m.User != r.account {
				continue
			}
			if m.Products == nil {
				m.Products = map[string]Role{}
			}
			m.Products[r.product] = Role(r.role)
		}
	}
	return nil
}

// Memberships lists what a user is a member of.
func (a *Accounts) Memberships(ctx context.Context, user string) ([]*Member, error) {
	list, err := collect(ctx, a.db, scanMember, memberQuery+`WHERE m.account = ? ORDER BY m.project`, user)
	if err == nil {
		err = readProductRoles(ctx, a.db, list, `account = ?`, user)
	}
	if err != nil {
		return nil, fmt.Errorf("account: list memberships of %s: %w", user, err)
	}
	return list, nil
}

// Member returns one member, whom who names by id or login.
func (a *Accounts) Member(ctx context.Context, project, who string) (*Member, error) {
	m, err := readMember(ctx, a.db, project, who)
	if err != nil {
		return nil, fmt.Errorf("account: read member of %s: %w", project, err)
	}
	return m, nil
}

func readMember(ctx context.Context, on querier, project, who string) (*Member, error) {
	u, err := readUser(ctx, on, who)
	if errors.Is(err, ErrUserNotFound) {
		return nil, ErrMemberNotFound
	}
	if err != nil {
		return nil, err
	}
	m, err := scanMember(on.QueryRow(ctx, memberQuery+`WHERE m.project = ? AND m.account = ?`, project, u.ID))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrMemberNotFound
	}
	if err != nil {
		return nil, err
	}
	return m, readProductRoles(ctx, on, []*Member{m}, `project = ? AND account = ?`, project, u.ID)
}

// validRoles holds that a membership gives something, and nothing unknown.
func validRoles(project string, role Role, products map[string]Role) error {
	switch {
	case role == "" && len(products) == 0:
		return &ErrInvalid{"role", "give a role on the project, or roles on some products"}
	case role != "" && len(products) > 0:
		return &ErrInvalid{"products", "a role on the whole project is on all products: give one or the other"}
	case role != "" && !role.Valid():
		return errRole("role")
	case len(products) > maxProducts:
		return &ErrInvalid{"products", fmt.Sprintf("at most %d", maxProducts)}
	case project == HubProject && len(products) > 0:
		return &ErrInvalid{"products", "a member of the hub as a whole is not limited to products"}
	}
	for sn, r := range products {
		if !r.Valid() {
			return errRole("products." + sn)
		}
	}
	return nil
}

// AddMember makes a user a member of p's project, which HubProject may be. Nobody gives what they do not have.
func (a *Accounts) AddMember(ctx context.Context, p *Principal, who string, role Role, products map[string]Role) (*Member, error) {
	return a.writeMember(ctx, p, who, role, products, true)
}

// SetMember gives a member other roles. Nobody changes a member who has more than they.
func (a *Accounts) SetMember(ctx context.Context, p *Principal, who string, role Role, products map[string]Role) (*Member, error) {
	return a.writeMember(ctx, p, who, role, products, false)
}

func (a *Accounts) writeMember(ctx context.Context, p *Principal, who string, role Role, products map[string]Role, add bool) (*Member, error) {
	if err := validRoles(p.Project, role, products); err != nil {
		return nil, err
	}
	next := Member{Project: p.Project, Role: role, Products: products}
	if !p.covers(next.grant()) {
		return nil, ErrExceeds
	}
	var id string
	err := a.update(ctx, "set member of "+p.Project, func(tx *store.Tx) error {
		if p.Project != HubProject {
			if err := projectExists(ctx, tx, p.Project); err != nil {
				return err
			}
		}
		u, err := a.memberToWrite(ctx, tx, p, who, role, add)
		if err != nil {
			return err
		}
		id = u
		return a.storeMember(ctx, tx, p.Project, id, role, products)
	})
	if err != nil {
		return nil, err
	}
	a.changed(UserChanged, id)
	return a.Member(ctx, p.Project, id)
}

// memberToWrite returns the id of the user whom who names, once the change is found to be one that p may make.
func (a *Accounts) memberToWrite(ctx context.Context, tx *store.Tx, p *Principal, who string, role Role, add bool) (string, error) {
	if add {
		u, err := readUser(ctx, tx, who)
		if err != nil {
			return "", err
		}
		if _, err := readMember(ctx, tx, p.Project, u.ID); !errors.Is(err, ErrMemberNotFound) {
			if err == nil {
				err = ErrExists
			}
			return "", err
		}
		return u.ID, a.Reserve(ctx, tx, p.Project, QuotaUsers, 1)
	}
	m, err := readMember(ctx, tx, p.Project, who)
	if err != nil {
		return "", err
	}
	if !p.covers(m.grant()) {
		return "", ErrExceeds
	}
	if m.Role == RoleOwner && role != RoleOwner {
		return m.User, ownerLeft(ctx, tx, m.User, p.Project)
	}
	return m.User, nil
}

func (a *Accounts) storeMember(ctx context.Context, tx *store.Tx, project, account string, role Role, products map[string]Role) error {
	_, err := tx.Exec(ctx, `INSERT INTO member (project, account, role, added_at) VALUES (?, ?, ?, ?) ON CONFLICT (project, account) DO UPDATE SET role = excluded.role`,
		project, account, string(role), a.now().UnixMilli())
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM member_product WHERE project = ? AND account = ?`, project, account); err != nil {
		return err
	}
	for sn := range maps.Keys(products) {
		if err := a.productIn(ctx, tx, project, sn); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO member_product (project, account, product, role) VALUES (?, ?, ?, ?)`, project, account, sn, string(products[sn])); err != nil {
			return err
		}
	}
	return nil
}

// RemoveMember ends a membership of p's project, at once.
func (a *Accounts) RemoveMember(ctx context.Context, p *Principal, who string) error {
	var id string
	err := a.update(ctx, "remove member of "+p.Project, func(tx *store.Tx) error {
		m, err := readMember(ctx, tx, p.Project, who)
		if err != nil {
			return err
		}
		if !p.covers(m.grant()) {
			return ErrExceeds
		}
		if m.Role == RoleOwner {
			if err := ownerLeft(ctx, tx, m.User, p.Project); err != nil {
				return err
			}
		}
		id = m.User
		return execAll(ctx, tx, []any{p.Project, id}, `DELETE FROM member WHERE project = ? AND account = ?`,
			`DELETE FROM member_product WHERE project = ? AND account = ?`)
	})
	if err != nil {
		return err
	}
	a.changed(UserChanged, id)
	return nil
}

// ownerLeft holds that each project in which the user is an owner (or the one that is named) has another who can log in. The
// hub as a whole has its owner key, which cannot be the last one to go.
func ownerLeft(ctx context.Context, tx *store.Tx, account, project string) error {
	var alone int64
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM member m WHERE m.account = ? AND m.role = ? AND m.project <> ? AND (? = '' OR m.project = ?)
		AND NOT EXISTS (SELECT 1 FROM member o JOIN account a ON a.id = o.account
			WHERE o.project = m.project AND o.role = m.role AND o.account <> m.account AND a.disabled = 0)`,
		account, string(RoleOwner), HubProject, project, project).Scan(&alone)
	if err == nil && alone > 0 {
		return ErrLastOwnerUser
	}
	return err
}
