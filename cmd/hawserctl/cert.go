package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newCert(c *cli) *cobra.Command {
	return group("cert", "Devices' certificates: issue, renew, revoke, list", `  hawserctl cert issue 70ly1tvowt696r15 cellar-1 --out cellar-1
  hawserctl cert list 70ly1tvowt696r15 --expires-within 720h
  hawserctl cert revoke 70ly1tvowt696r15 cellar-1 4d019a --reason keyCompromise`,
		newCertIssue(c), newCertRenew(c), newCertRevoke(c), newCertList(c))
}

// certFlags are what issue and renew have in common.
type certFlags struct {
	csr, out string
	days     int
}

func (f *certFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.csr, "csr", "", "PEM file of a certificate request, - for standard input; without it the hub makes the key")
	cmd.Flags().StringVar(&f.out, "out", "", "write NAME.crt, the chain, and NAME.key (0600), when the hub made it, instead of printing them")
	cmd.Flags().IntVar(&f.days, "days", 365, "how long it is to hold")
}

func newCertIssue(c *cli) *cobra.Command {
	var f certFlags
	cmd := &cobra.Command{
		Use:   "issue PRODUCT DEVICE",
		Short: "Issue a certificate that a device logs in with",
		Example: `  hawserctl cert issue 70ly1tvowt696r15 cellar-1 --out cellar-1
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj / -keyout k.pem | hawserctl cert issue 70ly1tvowt696r15 cellar-1 --csr -`,
		Args: exactArgs("PRODUCT", "DEVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := c.issue(cmd.Context(), args[0], args[1], &f)
			return err
		},
	}
	f.add(cmd)
	return cmd
}

func newCertRenew(c *cli) *cobra.Command {
	var f certFlags
	var revoke bool
	cmd := &cobra.Command{
		Use:     "renew PRODUCT DEVICE SERIAL",
		Short:   "Issue a certificate in place of another, which holds on unless --revoke",
		Example: "  hawserctl cert renew 70ly1tvowt696r15 cellar-1 4d019a --out cellar-1-2027 --revoke",
		Args:    exactArgs("PRODUCT", "DEVICE", "SERIAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := c.issue(cmd.Context(), args[0], args[1], &f); err != nil || !revoke {
				return err
			}
			_, err := c.do(cmd.Context(), revokeCert(args[0], args[1], args[2], "superseded"))
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&revoke, "revoke", false, "revoke the old one at once (superseded): the device needs the new one for its next connection")
	return cmd
}

// issue asks for a certificate and prints it or writes its files.
func (c *cli) issue(ctx context.Context, product, device string, f *certFlags) (*apitype.IssuedCertificate, error) {
	body := apitype.NewCertificate{Days: f.days}
	if f.csr != "" {
		b, err := c.readFile(f.csr)
		if err != nil {
			return nil, err
		}
		body.Csr = string(b)
	}
	b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.IssueCertificate(ctx, product, device, body)
	})
	if err != nil {
		return nil, err
	}
	var is apitype.IssuedCertificate
	if err := json.Unmarshal(b, &is); err != nil {
		return nil, err
	}
	if f.out == "" {
		return &is, c.printOne(b)
	}
	// The key first: a certificate is not to take the place of one that has its key.
	if is.PrivateKey != "" {
		if err := writeSecret(f.out+".key", is.PrivateKey); err != nil {
			return nil, fmt.Errorf("the key is lost, revoke %s: %w", is.Certificate.Serial, err)
		}
	}
	if err := os.WriteFile(f.out+".crt", []byte(is.Chain), 0o644); err != nil {
		return nil, err
	}
	one, err := json.Marshal(is.Certificate)
	if err != nil {
		return nil, err
	}
	return &is, c.printOne(one)
}

func revokeCert(product, device, serial, reason string) func(context.Context, *apiclient.Client) (*http.Response, error) {
	return func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.RevokeCertificate(ctx, product, device, serial, apitype.Revocation{Reason: apitype.RevocationReason(reason)})
	}
}

func newCertRevoke(c *cli) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "revoke PRODUCT DEVICE SERIAL",
		Short:   "Revoke a certificate; a session that stands on it ends at once",
		Example: "  hawserctl cert revoke 70ly1tvowt696r15 cellar-1 4d019a --reason keyCompromise",
		Args:    exactArgs("PRODUCT", "DEVICE", "SERIAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), revokeCert(args[0], args[1], args[2], reason))
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

func newCertList(c *cli) *cobra.Command {
	var most int
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "list PRODUCT [DEVICE]",
		Short: "List the certificates of a product or device, those first that expire first",
		Example: `  hawserctl cert list 70ly1tvowt696r15 --expires-within 720h
  hawserctl cert list 70ly1tvowt696r15 cellar-1`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				if len(args) == 2 {
					return client.ListDeviceCertificates(ctx, args[0], args[1], &apitype.ListDeviceCertificatesParams{Limit: limit, Cursor: cursor})
				}
				p := &apitype.ListCertificatesParams{Limit: limit, Cursor: cursor}
				if cmd.Flags().Changed("expires-within") {
					before := time.Now().Add(within).UTC()
					p.ExpiresBefore = &before
				}
				return client.ListCertificates(ctx, args[0], p)
			})
			if err != nil {
				return err
			}
			return c.printList(items, "serial", "deviceSN", "status", "reason", "issuedAt", "expiresAt")
		},
	}
	limitFlag(cmd, &most)
	cmd.Flags().DurationVar(&within, "expires-within", 0, "only those that expire within so long (of a product)")
	return cmd
}
