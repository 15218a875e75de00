package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newCA(c *cli) *cobra.Command {
	return group("ca", "CAs for devices' certificates: the hub's own, and those that products accept", `  hawserctl ca export > device-ca.pem
  hawserctl ca rotate
  hawserctl ca add 70ly1tvowt696r15 acme.pem`,
		newCAShow(c), newCAExport(c), newCAList(c), newCARotate(c), newCARetire(c), newCAAdd(c), newCARemove(c), newCARevoke(c))
}

func getCA(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
	return client.GetCA(ctx)
}

func newCAShow(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "show [ID]",
		Short:   "Show the hub's own CA for devices that issues, or another of the hub's",
		Example: "  hawserctl ca show\n  hawserctl ca show 5f3c…",
		Args:    rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.show(cmd.Context(), getCA)
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetOwnCA(ctx, args[0])
			})
		},
	}
}

func newCARotate(c *cli) *cobra.Command {
	cmd := simple(c, "rotate", "Make a new CA of the hub's own, which issues from now on", "hawserctl ca rotate", func(ctx context.Context, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.RotateCA(ctx)
	})
	cmd.Long = `Make a new CA of the hub's own for devices, which issues from now on.

The one before is trusted for what it has issued: devices renew their certificates
when those end, or sooner (cert renew), and ca list shows how many still hold. Then
ca retire has the hub trust it no more. Both revocation lists are served.`
	return cmd
}

func newCARetire(c *cli) *cobra.Command {
	var body apitype.CARetirement
	cmd := simple(c, "retire ID", "Trust a CA of the hub's own no more: what it has issued is revoked", "hawserctl ca retire 5f3c…\n  hawserctl ca retire 5f3c… --force",
		func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
			return client.RetireCA(ctx, args[0], body)
		})
	cmd.Flags().BoolVar(&body.Force, "force", false, "also when devices have certificates of it that hold: they cannot log in with them any more")
	return cmd
}

func newCAExport(c *cli) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     "export",
		Short:   "Write the certificate of the hub's own CA for devices that issues (PEM) to standard output",
		Example: "  hawserctl ca export > device-ca.pem\n  hawserctl ca export --all > device-cas.pem",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.ListCAs(ctx, &apitype.ListCAsParams{})
			})
			if err != nil {
				return err
			}
			var list apitype.CAList
			if err := json.Unmarshal(b, &list); err != nil {
				return fmt.Errorf("read the hub's list: %w", err)
			}
			for _, ca := range list.Items {
				if ca.Status == "issuing" || all && ca.Status == "trusted" {
					if _, err := fmt.Fprint(cmd.OutOrStdout(), ca.Certificate); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "of all that are trusted, for those who verify devices themselves")
	return cmd
}

func newCAList(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [PRODUCT]",
		Short: "List the hub's own CAs, or those that a product accepts besides, with the code for a proof",
		Long: `List the hub's own CAs for devices, the one that issues first; or, with a product,
those that it accepts besides, and the code for a proof.

The code is what the common name of a certificate must be that a CA signs to prove
that whoever adds it has its key: ca add --proof.`,
		Example: "  hawserctl ca list\n  hawserctl ca list --filter -status:retired --sort expires\n  hawserctl ca list 70ly1tvowt696r15",
		Args:    rangeArgs(0, 1),
	}
	chosen(c, cmd, "id, status (issuing, trusted, expired, retired), expires, retired", "status, expires, retired", []string{"id", "status", "holding", "createdAt", "expiresAt"},
		func(ctx context.Context, client *apiclient.Client, _ []string, p part) (*http.Response, error) {
			return client.ListCAs(ctx, &apitype.ListCAsParams{Filter: p.filter, Sort: p.sort, Limit: p.limit, Cursor: p.cursor})
		})
	own := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return own(cmd, args)
		}
		for _, name := range []string{"filter", "sort", "limit"} {
			if cmd.Flags().Changed(name) {
				return usageError{fmt.Errorf("--%s is for the hub's own CAs: leave out the product", name)}
			}
		}
		return c.listProductCAs(cmd.Context(), args[0])
	}
	return cmd
}

func (c *cli) listProductCAs(ctx context.Context, product string) error {
	b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.ListProductCAs(ctx, product)
	})
	if err != nil {
		return err
	}
	var list struct {
		Items []json.RawMessage
		Code  string
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.errOut, "code for a proof: %s\n", list.Code); err != nil {
		return err
	}
	return c.printList(list.Items, "id", "subject", "proven", "createdAt", "expiresAt")
}

func newCAAdd(c *cli) *cobra.Command {
	var proof string
	cmd := &cobra.Command{
		Use:     "add PRODUCT FILE",
		Short:   "Have a product accept a CA (PEM)",
		Example: "  hawserctl ca add 70ly1tvowt696r15 acme.pem --proof proof.pem",
		Args:    exactArgs("PRODUCT", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cert, err := c.readFile(args[1])
			if err != nil {
				return err
			}
			body := apitype.NewProductCA{Certificate: string(cert)}
			if proof != "" {
				b, err := c.readFile(proof)
				if err != nil {
					return err
				}
				body.Proof = string(b)
			}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.AddProductCA(ctx, args[0], body)
			})
		},
	}
	cmd.Flags().StringVar(&proof, "proof", "", "PEM file of a certificate that the CA has signed for the code of ca list")
	return cmd
}

func newCARemove(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "remove PRODUCT ID",
		Short:   "Have a product accept a CA no more; sessions that it vouched for end",
		Example: "  hawserctl ca remove 70ly1tvowt696r15 5f3c…",
		Args:    exactArgs("PRODUCT", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.RemoveProductCA(ctx, args[0], args[1])
			})
		},
	}
}

func newCARevoke(c *cli) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "revoke PRODUCT ID SERIAL",
		Short:   "Have a product take a certificate no more that another CA has issued",
		Example: "  hawserctl ca revoke 70ly1tvowt696r15 5f3c… 4d:01:9a",
		Args:    exactArgs("PRODUCT", "ID", "SERIAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := apitype.ForeignRevocation{Serial: args[2], Reason: apitype.RevocationReason(reason)}
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.RevokeForeignCertificate(ctx, args[0], args[1], body)
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

func reasonFlag(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "unspecified", "unspecified, keyCompromise, affiliationChanged, superseded or cessationOfOperation")
}

// writeSecret makes a file that only its owner can read; one that is there already is not overwritten.
func writeSecret(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
