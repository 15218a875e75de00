package api

import (
	"context"
	"time"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// CAs is what the API needs of the authorities that sign certificates of devices.
type CAs interface {
	Own(ctx context.Context) (*authority.Authority, error)
	Search(ctx context.Context, q listing.Query) ([]authority.Authority, listing.Page, error)
	Find(ctx context.Context, id string) (*authority.Authority, error)
	Rotate(ctx context.Context) (*authority.Authority, error)
	Retire(ctx context.Context, id string, force bool) (*authority.Authority, error)
	Code(product string) string
	Accept(ctx context.Context, product string, certPEM, proof []byte) (*authority.Accepted, error)
	Accepted(ctx context.Context, product string) ([]authority.Accepted, error)
	Remove(ctx context.Context, product, id string) error
	Issue(ctx context.Context, req authority.Request) (*authority.Issued, error)
	Certificate(ctx context.Context, serial string) (*authority.Certificate, error)
	Certificates(ctx context.Context, f authority.Filter) ([]authority.Certificate, string, error)
	Revoke(ctx context.Context, serial string, why authority.Reason) error
	RevokeForeign(ctx context.Context, product, id, serial string, why authority.Reason) error
}

func (s *server) GetCA(ctx context.Context, _ apitype.GetCARequestObject) (apitype.GetCAResponseObject, error) {
	own, err := s.CAs.Own(ctx)
	if err != nil {
		return nil, err
	}
	if own, err = s.CAs.Find(ctx, own.ID); err != nil { // with what it holds
		return nil, err
	}
	return apitype.GetCA200JSONResponse(ownOf(own)), nil
}

func (s *server) ListCAs(ctx context.Context, r apitype.ListCAsRequestObject) (apitype.ListCAsResponseObject, error) {
	p := r.Params
	q, err := wholeQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, page, err := s.CAs.Search(ctx, q)
	if err != nil {
		return nil, err
	}
	items := make([]apitype.CA, len(list))
	for i := range list {
		items[i] = ownOf(&list[i])
	}
	return apitype.ListCAs200JSONResponse{Items: items, NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}, nil
}

func (s *server) GetOwnCA(ctx context.Context, r apitype.GetOwnCARequestObject) (apitype.GetOwnCAResponseObject, error) {
	own, err := s.CAs.Find(ctx, r.CaID)
	if err != nil {
		return nil, err
	}
	return apitype.GetOwnCA200JSONResponse(ownOf(own)), nil
}

func (s *server) RotateCA(ctx context.Context, _ apitype.RotateCARequestObject) (apitype.RotateCAResponseObject, error) {
	own, err := s.CAs.Rotate(ctx)
	if err != nil {
		return nil, err
	}
	return apitype.RotateCA201JSONResponse(ownOf(own)), nil
}

func (s *server) RetireCA(ctx context.Context, r apitype.RetireCARequestObject) (apitype.RetireCAResponseObject, error) {
	own, err := s.CAs.Retire(ctx, r.CaID, r.Body != nil && r.Body.Force)
	if err != nil {
		return nil, err
	}
	return apitype.RetireCA200JSONResponse(ownOf(own)), nil
}

func ownOf(a *authority.Authority) apitype.CA {
	ca := caOf(a, a.Created)
	ca.CrlPath, ca.Holding, ca.RetiredAt = authority.CRLPath(a.ID), a.Holding, a.Retired
	switch {
	case !a.Retired.IsZero():
		ca.Status = "retired"
	case a.Issues:
		ca.Status = "issuing"
	case time.Now().After(a.Cert.NotAfter):
		ca.Status = "expired"
	default:
		ca.Status = "trusted"
	}
	return ca
}

func caOf(a *authority.Authority, created time.Time) apitype.CA {
	return apitype.CA{ID: a.ID, Subject: a.Cert.Subject.String(), Certificate: string(a.PEM()), CreatedAt: created, ExpiresAt: a.Cert.NotAfter.UTC()}
}

func acceptedOf(a *authority.Accepted) apitype.CA {
	ca := caOf(&a.Authority, a.Added)
	ca.Proven = a.Proven
	return ca
}

func (s *server) ListProductCAs(ctx context.Context, r apitype.ListProductCAsRequestObject) (apitype.ListProductCAsResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	list, err := s.CAs.Accepted(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	items := make([]apitype.CA, len(list))
	for i := range list {
		items[i] = acceptedOf(&list[i])
	}
	return apitype.ListProductCAs200JSONResponse{Items: items, Code: s.CAs.Code(r.ProductSN)}, nil
}

func (s *server) AddProductCA(ctx context.Context, r apitype.AddProductCARequestObject) (apitype.AddProductCAResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	a, err := s.CAs.Accept(ctx, r.ProductSN, []byte(r.Body.Certificate), []byte(r.Body.Proof))
	if err != nil {
		return nil, err
	}
	return apitype.AddProductCA201JSONResponse(acceptedOf(a)), nil
}

func (s *server) RemoveProductCA(ctx context.Context, r apitype.RemoveProductCARequestObject) (apitype.RemoveProductCAResponseObject, error) {
	if err := s.CAs.Remove(ctx, r.ProductSN, r.CaID); err != nil {
		return nil, err
	}
	return apitype.RemoveProductCA204Response{}, nil
}

func (s *server) RevokeForeignCertificate(ctx context.Context, r apitype.RevokeForeignCertificateRequestObject) (apitype.RevokeForeignCertificateResponseObject, error) {
	why, err := authority.ParseReason(string(r.Body.Reason))
	if err != nil {
		return nil, err
	}
	if err := s.CAs.RevokeForeign(ctx, r.ProductSN, r.CaID, r.Body.Serial, why); err != nil {
		return nil, err
	}
	return apitype.RevokeForeignCertificate204Response{}, nil
}

func (s *server) ListCertificates(ctx context.Context, r apitype.ListCertificatesRequestObject) (apitype.ListCertificatesResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	f := authority.Filter{Product: r.ProductSN}
	if r.Params.ExpiresBefore != nil {
		f.Before = *r.Params.ExpiresBefore
	}
	list, err := s.certificates(ctx, f, r.Params.Limit, r.Params.Cursor)
	return apitype.ListCertificates200JSONResponse(list), err
}

func (s *server) ListDeviceCertificates(ctx context.Context, r apitype.ListDeviceCertificatesRequestObject) (apitype.ListDeviceCertificatesResponseObject, error) {
	d, err := s.Devices.Device(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN})
	if err != nil {
		return nil, err
	}
	list, err := s.certificates(ctx, authority.Filter{Product: r.ProductSN, DeviceID: d.ID}, r.Params.Limit, r.Params.Cursor)
	return apitype.ListDeviceCertificates200JSONResponse(list), err
}

func (s *server) certificates(ctx context.Context, f authority.Filter, limit *int, cursor *string) (apitype.CertificateList, error) {
	page, err := pageOf(limit, cursor)
	if err != nil {
		return apitype.CertificateList{}, err
	}
	f.Limit, f.After = page.Limit, page.Cursor
	list, next, err := s.CAs.Certificates(ctx, f)
	if err != nil {
		return apitype.CertificateList{}, err
	}
	items := make([]apitype.Certificate, len(list))
	for i := range list {
		items[i] = certificateOf(&list[i])
	}
	return apitype.CertificateList{Items: items, NextCursor: next}, nil
}

func certificateOf(c *authority.Certificate) apitype.Certificate {
	out := apitype.Certificate{Serial: c.Serial, CaID: c.Authority, ProductSN: c.Device.Product, DeviceSN: c.Device.SN, Fingerprint: c.Fingerprint,
		Status: "valid", IssuedAt: c.Issued, ExpiresAt: c.Expires.UTC(), RevokedAt: c.Revoked}
	switch {
	case !c.Revoked.IsZero():
		out.Status, out.Reason = "revoked", c.Reason.String()
	case time.Now().After(c.Expires):
		out.Status = "expired"
	}
	return out
}

func (s *server) IssueCertificate(ctx context.Context, r apitype.IssueCertificateRequestObject) (apitype.IssueCertificateResponseObject, error) {
	d, err := s.Devices.Device(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN})
	if err != nil {
		return nil, err
	}
	const most = 36_500 // days, so that no number overflows; the authority knows the real bound
	if r.Body.Days < 0 || r.Body.Days > most {
		return nil, invalid("days", "days: must be 1 to %d", most)
	}
	is, err := s.CAs.Issue(ctx, authority.Request{Device: d.Identity, DeviceID: d.ID, CSR: []byte(r.Body.Csr), Life: time.Duration(r.Body.Days) * 24 * time.Hour})
	if err != nil {
		return nil, err
	}
	return apitype.IssueCertificate201JSONResponse{Certificate: certificateOf(&is.Certificate), Chain: string(is.Chain), PrivateKey: is.Key.Reveal()}, nil
}

func (s *server) RevokeCertificate(ctx context.Context, r apitype.RevokeCertificateRequestObject) (apitype.RevokeCertificateResponseObject, error) {
	c, err := s.CAs.Certificate(ctx, r.Serial)
	if err != nil {
		return nil, err
	}
	if c.Device != (ident.Device{Product: r.ProductSN, SN: r.DeviceSN}) { // another's, perhaps of another project
		return nil, authority.ErrNoCertificate
	}
	why := authority.Unspecified
	if r.Body != nil {
		if why, err = authority.ParseReason(string(r.Body.Reason)); err != nil {
			return nil, err
		}
	}
	if err := s.CAs.Revoke(ctx, c.Serial, why); err != nil {
		return nil, err
	}
	if c, err = s.CAs.Certificate(ctx, c.Serial); err != nil {
		return nil, err
	}
	return apitype.RevokeCertificate200JSONResponse(certificateOf(c)), nil
}

var _ CAs = (*authority.Authorities)(nil)
