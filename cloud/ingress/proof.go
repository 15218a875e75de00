package ingress

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// nonce gives a nonce to whoever asks, for devices that do not exist too: it is of use only with the device's secret.
func (in *Ingress) nonce(_ context.Context, r *http.Request) (message.Code, string, []byte) {
	if in.Nonces == nil {
		return message.CodeMissing, "there are no nonces here", nil
	}
	product, sn, _ := strings.Cut(r.URL.Query().Get("device"), ".")
	dev := ident.Device{Product: product, SN: sn}
	if dev.Check() != nil {
		return message.CodeBad, "device is no ProductSN.DeviceSN", nil
	}
	return message.CodeOK, "", append(codec.AppendString([]byte(`,"Nonce":`), in.Nonces.Issue(dev)), '}')
}

// certificate gives a device a certificate for the key of its request. The one that it has goes on to hold.
func (in *Ingress) certificate(ctx context.Context, r *http.Request) (message.Code, string, []byte) {
	if in.Authorities == nil {
		return message.CodeMissing, "there are no certificates here", nil
	}
	body, code := read(r, maxAuthBody)
	if !code.OK() {
		return code, "", nil
	}
	req, code, text := parseAuth(body)
	if !code.OK() {
		return code, text, nil
	}
	var csr struct{ CSR string }
	if codec.Unmarshal(body, &csr) != nil || csr.CSR == "" {
		return message.CodeMissing, "CSR is missing", nil
	}
	g, err := in.prove(ctx, r, req, body)
	if err != nil {
		return refused(err), "", nil
	}
	if off := in.now().Sub(req.at); !req.at.IsZero() && (off > in.cfg.ClockSkew || off < -in.cfg.ClockSkew) {
		return message.CodeTimestamp, "Timestamp is off by more than an hour", nil
	}
	is, err := in.Authorities.Issue(ctx, authority.Request{Device: g.Device.Identity, DeviceID: g.Device.ID, CSR: []byte(csr.CSR)})
	var invalid *authority.ErrInvalid
	switch {
	case errors.As(err, &invalid):
		return message.CodeBad, invalid.Field + " " + invalid.Reason, nil
	case err != nil:
		return in.fault("authority", err), "", nil
	}
	in.Log.Info("certificate issued", "product", g.Device.Identity.Product, "device", g.Device.Identity.SN, "serial", is.Serial, "expires", is.Expires)
	return message.CodeOK, "", append(codec.AppendString([]byte(`,"Certificate":`), string(is.Chain)), '}')
}

// prove finds out who it is: by signature of the body, or by the certificate of the connection.
func (in *Ingress) prove(ctx context.Context, r *http.Request, req authRequest, body []byte) (*auth.Grant, error) {
	signature := strings.TrimSpace(r.Header.Get("Authorization"))
	if signature == "" && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return in.Auth.Certified(ctx, req.device, r.TLS.PeerCertificates, r.RemoteAddr)
	}
	return in.Auth.Signed(ctx, req.device, body, signature, r.RemoteAddr)
}
