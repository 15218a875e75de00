package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newUser(c *cli) *cobra.Command {
	get := simple(c, "get USER", "Show a user, by id or login, with memberships", "hawserctl user get ann", func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.GetUser(ctx, args[0])
	})
	remove := simple(c, "delete USER", "Delete a user with memberships and sessions", "hawserctl user delete ann", func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.DeleteUser(ctx, args[0])
	})
	reset := simple(c, "reset-totp USER", "Switch off the second factor of a user who has lost it", "hawserctl user reset-totp ann", func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ResetTOTP(ctx, args[0])
	})
	return group("user", "Users: list, create, get, update, delete, their sessions and second factor", `  hawserctl user create ann@example.com --name Ann
  hawserctl member add ann@example.com --project farm --role operator
  hawserctl user update ann@example.com --disabled`, newUserList(c), newUserCreate(c), get, newUserUpdate(c), remove, reset, newUserSession(c))
}

// What lists of sessions are filtered and sorted by.
const (
	sessionKeys   = "address, agent, method (password, oidc), seen, expires"
	sessionOrders = "address, agent, method, seen, expires"
)

// sessionColumns are what a table says of sessions.
var sessionColumns = []string{"id", "method", "address", "agent", "seenAt", "createdAt"}

func newUserSession(c *cli) *cobra.Command {
	list := chosen(c, &cobra.Command{
		Use:     "list USER",
		Short:   "List the sessions of a user",
		Example: "  hawserctl user session list ann\n  hawserctl user session list ann --filter 'seen<-7d'",
		Args:    exactArgs("USER"),
	}, sessionKeys, sessionOrders, sessionColumns, func(ctx context.Context, client *apiclient.Client, args []string, p part) (*http.Response, error) {
		return client.ListSessions(ctx, args[0], &apitype.ListSessionsParams{Filter: p.filter, Sort: p.sort, Limit: p.limit, Cursor: p.cursor})
	})
	end := &cobra.Command{
		Use:     "end USER [SESSION]",
		Short:   "End all sessions of a user, or one",
		Example: "  hawserctl user session end ann",
		Args:    rangeArgs(1, 2, "USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				if len(args) > 1 {
					return client.EndSession(ctx, args[0], args[1])
				}
				return client.EndSessions(ctx, args[0])
			})
		},
	}
	return group("session", "Sessions of a user: list, end", "  hawserctl user session list ann\n  hawserctl user session end ann", list, end)
}

func newUserList(c *cli) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List users",
		Example: "  hawserctl user list",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			items, err := c.all(cmd.Context(), limit, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListUsers(ctx, &apitype.ListUsersParams{Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "id", "login", "name", "disabled", "totp", "lastLoginAt")
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many (default all)")
	return cmd
}

const passwordUsage = "ask for a password, or read it from standard input"

func newUserCreate(c *cli) *cobra.Command {
	var body apitype.NewUser
	var password bool
	cmd := &cobra.Command{
		Use:   "create LOGIN",
		Short: "Create a user, who has no rights yet",
		Example: `  hawserctl user create ann@example.com --name Ann --password
  hawserctl user create bob --issuer https://idp.example --subject 248289761001`,
		Args: exactArgs("LOGIN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body.Login = args[0]
			if password {
				var err error
				if body.Password, err = c.asker().newPassword("Password: "); err != nil {
					return err
				}
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.CreateUser(ctx, body)
			})
		},
	}
	cmd.Flags().StringVar(&body.Name, "name", "", "name for display")
	cmd.Flags().BoolVar(&password, "password", false, passwordUsage)
	cmd.Flags().StringVar(&body.Issuer, "issuer", "", "OpenID Connect issuer that the user comes from")
	cmd.Flags().StringVar(&body.Subject, "subject", "", "… and who they are there")
	return cmd
}

func newUserUpdate(c *cli) *cobra.Command {
	var login, name, issuer, subject string
	var password, disabled bool
	cmd := &cobra.Command{
		Use:   "update USER",
		Short: "Change a user; a new password and --disabled end their sessions",
		Example: `  hawserctl user update ann@example.com --disabled
  hawserctl user update ann@example.com --disabled=false
  hawserctl user update ann@example.com --password`,
		Args: exactArgs("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := apitype.UserPatch{Login: given(cmd.Flags(), "login", &login), Name: given(cmd.Flags(), "name", &name), Issuer: given(cmd.Flags(), "issuer", &issuer),
				Subject: given(cmd.Flags(), "subject", &subject), Disabled: given(cmd.Flags(), "disabled", &disabled)}
			if password {
				text, err := c.asker().newPassword("Password: ")
				if err != nil {
					return err
				}
				body.Password = &text
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.UpdateUser(ctx, args[0], body)
			})
		},
	}
	cmd.Flags().StringVar(&login, "login", "", "another login name")
	cmd.Flags().StringVar(&name, "name", "", "name for display")
	cmd.Flags().BoolVar(&password, "password", false, passwordUsage)
	cmd.Flags().BoolVar(&disabled, "disabled", false, "let the user in no longer; =false lets them in again")
	cmd.Flags().StringVar(&issuer, "issuer", "", "OpenID Connect issuer that the user comes from")
	cmd.Flags().StringVar(&subject, "subject", "", "… and who they are there")
	return cmd
}

func newMember(c *cli) *cobra.Command {
	list := chosen(c, &cobra.Command{
		Use:     "list",
		Short:   "List the members of a project",
		Example: "  hawserctl member list --project farm\n  hawserctl member list --project farm --filter 'role:owner OR role:admin' --sort -created",
		Args:    exactArgs(),
	}, "login, name, role (owner, …, viewer, none), state (enabled, disabled), product", "login, name, role, state", []string{"user", "login", "name", "role", "products", "addedAt"},
		func(ctx context.Context, client *apiclient.Client, _ []string, p part) (*http.Response, error) {
			return client.ListMembers(ctx, c.memberProject(), &apitype.ListMembersParams{Filter: p.filter, Sort: p.sort, Limit: p.limit, Cursor: p.cursor})
		})
	get := simple(c, "get USER", "Show a member with role and products, by id or login", "hawserctl member get ann --project farm", func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.GetMember(ctx, c.memberProject(), args[0])
	})
	remove := simple(c, "remove USER", "End a membership, at once", "hawserctl member remove ann --project farm", func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.RemoveMember(ctx, c.memberProject(), args[0])
	})
	cmd := group("member", "Members of a project: list, get, add, set, remove", `  hawserctl member add ann --project farm --role operator
  hawserctl member add bob --project farm --product 70ly1tvowt696r15=engineer
  hawserctl member list --project hub`, list, get, newMemberWrite(c, true), newMemberWrite(c, false), remove)
	cmd.Long = `Members of the project of --project (default "default"). Members of the project
"hub" are members of the hub as a whole and so of every project.`
	return cmd
}

// memberProject is the project whose members are meant.
func (c *cli) memberProject() string { return either(c.project, "default") }

func newMemberWrite(c *cli, add bool) *cobra.Command {
	var role string
	var products map[string]string
	use, short, name := "add USER", "Make a user a member, with a role or with roles on some products", "add"
	if !add {
		use, short, name = "set USER", "Give a member other roles", "set"
	}
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Example: fmt.Sprintf(`  hawserctl member %[1]s ann --project farm --role operator
  hawserctl member %[1]s bob --project farm --product 70ly1tvowt696r15=engineer`, name),
		Args: exactArgs("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				if add {
					return client.AddMember(ctx, c.memberProject(), apitype.NewMember{User: args[0], Role: role, Products: products})
				}
				return client.SetMember(ctx, c.memberProject(), args[0], apitype.MemberRoles{Role: role, Products: products})
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "owner, admin, operator, engineer or viewer")
	cmd.Flags().StringToStringVar(&products, "product", nil, "P=ROLE: a role on one product, instead of --role")
	return cmd
}

// rawID reads the id of an object.
func rawID(object json.RawMessage) string {
	var o struct{ ID string }
	_ = json.Unmarshal(object, &o) // without an id it is ""
	return o.ID
}
