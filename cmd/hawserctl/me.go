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

func newMe(c *cli) *cobra.Command {
	cmd := group("me", "Your own account: password, second factor, sessions", `  hawserctl me password
  hawserctl me totp enrol
  hawserctl me session list`, newMePassword(c), newMeTOTP(c), newMeSession(c))
	cmd.Long = `Your own account, as the user that hawserctl login has logged in; hawserctl whoami
shows it. An API key has no password and no second factor.`
	return cmd
}

// confirmHelp is the end of the help of commands that want the password once more.
const confirmHelp = `The present password, and the code of the second factor when there is one, are
asked for and not shown; when standard input is no terminal they are read from it,
a line each. Without a password, because you log in through an identity provider,
leave it empty. A recovery code is taken for a code.`

func newMePassword(c *cli) *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use:   "password",
		Short: "Change your password; your other sessions end",
		Long: `Change your password; your other sessions end.

The present password, the new one and, when you have a second factor, a code of it
are asked for and not shown. With --password-stdin, or when standard input is no
terminal, they are read from it, a line each and in this order.`,
		Example: `  hawserctl me password
  pass hawser/old-and-new | hawserctl me password --password-stdin`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := c.asker()
			in.quiet = stdin
			var body apitype.PasswordChange
			var err error
			if body.Password, err = in.secret("Present password: "); err != nil {
				return err
			}
			if body.NewPassword, err = in.newPassword("New password: "); err != nil {
				return err
			}
			return in.withCode(func(code, recovery string) error {
				body.Code, body.RecoveryCode = code, recovery
				_, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
					return client.ChangePassword(ctx, body)
				})
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the passwords from standard input and ask for nothing")
	return cmd
}

// confirmed makes a call that wants the password once more, and the second factor when there is one.
func (c *cli) confirmed(ctx context.Context, call func(ctx context.Context, client *apiclient.Client, body apitype.Confirmation) (*http.Response, error)) (b json.RawMessage, err error) {
	in := c.asker()
	var body apitype.Confirmation
	if body.Password, err = in.secret("Password: "); err != nil {
		return nil, err
	}
	err = in.withCode(func(code, recovery string) (err error) {
		body.Code, body.RecoveryCode = code, recovery
		b, err = c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return call(ctx, client, body)
		})
		return err
	})
	return b, err
}

func newMeSession(c *cli) *cobra.Command {
	list := chosen(c, &cobra.Command{
		Use:     "list",
		Short:   "List your sessions",
		Example: "  hawserctl me session list\n  hawserctl me session list --sort -seen",
		Args:    exactArgs(),
	}, sessionKeys, sessionOrders, append([]string{"current"}, sessionColumns...), func(ctx context.Context, client *apiclient.Client, _ []string, p part) (*http.Response, error) {
		return client.ListMySessions(ctx, &apitype.ListMySessionsParams{Filter: p.filter, Sort: p.sort, Limit: p.limit, Cursor: p.cursor})
	})
	end := &cobra.Command{
		Use:     "end [SESSION]",
		Short:   "End one of your sessions, or all but this one",
		Example: "  hawserctl me session end",
		Args:    rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				if len(args) > 0 {
					return client.EndMySession(ctx, args[0])
				}
				return client.EndMySessions(ctx)
			})
		},
	}
	return group("session", "Your sessions: list, end", "  hawserctl me session list\n  hawserctl me session end", list, end)
}

func newMeTOTP(c *cli) *cobra.Command {
	return group("totp", "Your second factor: enrol, confirm, disable, recovery-codes", `  hawserctl me totp enrol
  hawserctl me totp confirm 123456`, newTOTPEnrol(c), newTOTPConfirm(c), newTOTPDisable(c), newTOTPRecovery(c))
}

func newTOTPEnrol(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "enrol",
		Short: "Get a secret for an authenticator, as a QR code and as text",
		Long: `Get a secret for an authenticator, as a QR code and as text. It is wanted at your
logins from hawserctl me totp confirm on.

` + confirmHelp,
		Example: "  hawserctl me totp enrol",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := c.confirmed(cmd.Context(), func(ctx context.Context, client *apiclient.Client, body apitype.Confirmation) (*http.Response, error) {
				return client.EnrolTOTP(ctx, body)
			})
			if err != nil || c.raw() || c.output == asCSV {
				return c.printIf(b, err)
			}
			var e apitype.TOTPEnrolment
			if err := json.Unmarshal(b, &e); err != nil {
				return fmt.Errorf("read the hub's answer: %w", err)
			}
			if err := printQR(c.out, e.OtpauthURL); err != nil {
				return err
			}
			fmt.Fprintln(c.errOut, "take it into your authenticator, then: hawserctl me totp confirm CODE")
			return c.printOne(b)
		},
	}
}

// printIf prints an object unless it could not be had.
func (c *cli) printIf(b json.RawMessage, err error) error {
	if err != nil {
		return err
	}
	return c.printOne(b)
}

func newTOTPConfirm(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "confirm CODE",
		Short:   "Switch the second factor on with a code of it, and get recovery codes; your other sessions end",
		Example: "  hawserctl me totp confirm 123456",
		Args:    exactArgs("CODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.ConfirmTOTP(ctx, apitype.TOTPCode{Code: args[0]})
			})
			return c.printRecovery(b, err)
		},
	}
}

func newTOTPDisable(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "disable",
		Short:   "Switch your second factor off",
		Long:    "Switch your second factor off.\n\n" + confirmHelp,
		Example: "  hawserctl me totp disable",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := c.confirmed(cmd.Context(), func(ctx context.Context, client *apiclient.Client, body apitype.Confirmation) (*http.Response, error) {
				return client.DisableTOTP(ctx, body)
			})
			return err
		},
	}
}

func newTOTPRecovery(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "recovery-codes",
		Short:   "Get new recovery codes; the old ones are worth nothing any longer",
		Long:    "Get new recovery codes; the old ones are worth nothing any longer.\n\n" + confirmHelp,
		Example: "  hawserctl me totp recovery-codes",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.printRecovery(c.confirmed(cmd.Context(), func(ctx context.Context, client *apiclient.Client, body apitype.Confirmation) (*http.Response, error) {
				return client.RenewRecoveryCodes(ctx, body)
			}))
		},
	}
}

// printRecovery prints recovery codes, a line each.
func (c *cli) printRecovery(b json.RawMessage, err error) error {
	if err != nil || c.raw() || c.output == asCSV {
		return c.printIf(b, err)
	}
	var codes apitype.RecoveryCodes
	if err := json.Unmarshal(b, &codes); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	fmt.Fprintln(c.errOut, "recovery codes, each good for one login without the authenticator; they are shown this once:")
	for _, code := range codes.RecoveryCodes {
		fmt.Fprintln(c.out, code)
	}
	return nil
}
