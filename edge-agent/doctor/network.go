package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
)

// network goes the way to the hub, a step at a time.
func (c Config) network(ctx context.Context) []Finding {
	scheme, host, port, err := c.address()
	if err != nil {
		return []Finding{{"dns", Fail, err.Error(), "correct hub: in the configuration"}}
	}
	list := []Finding{c.resolve(ctx, host)}
	secure := scheme == "tls" || scheme == "wss"
	conn, f := c.connect(ctx, host, port, list[0].State)
	list = append(list, f)
	var chain []*x509.Certificate
	if secure && conn != nil {
		f, chain = c.handshake(ctx, conn, host)
		list = append(list, f)
	}
	if conn != nil {
		_ = conn.Close() // it was only looked at
	}
	list = append(list, c.clock(chain, time.Now()))
	return append(list, c.login(ctx, list))
}

func (c Config) resolve(ctx context.Context, host string) Finding {
	if isIP(host) {
		return Finding{Check: "dns", State: OK, Detail: host + " needs no name service"}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	began := time.Now()
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return Finding{"dns", Fail, err.Error(), "check the name in hub:, /etc/resolv.conf, and that the name server is in reach; an address instead of a name works without"}
	}
	return Finding{Check: "dns", State: OK, Detail: fmt.Sprintf("%s is %s, in %v", host, strings.Join(addrs, ", "), time.Since(began).Round(time.Millisecond))}
}

func (c Config) connect(ctx context.Context, host, port string, dns State) (net.Conn, Finding) {
	if dns == Fail {
		return nil, skip("tcp", "there is no address")
	}
	d := net.Dialer{Timeout: c.Timeout}
	addr := net.JoinHostPort(host, port)
	began := time.Now()
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		do := "check the route and the gateway's own network (ip route), and that no firewall drops connections to this port"
		if strings.Contains(err.Error(), "refused") {
			do = "nothing listens there: check host and port in hub:, and that the hub runs"
		}
		return nil, Finding{"tcp", Fail, err.Error(), do}
	}
	return conn, Finding{Check: "tcp", State: OK, Detail: fmt.Sprintf("%s answers in %v", addr, time.Since(began).Round(time.Millisecond))}
}

// handshake checks the hub's certificate as the agent does, and returns the certificates whatever it finds.
func (c Config) handshake(ctx context.Context, conn net.Conn, host string) (Finding, []*x509.Certificate) {
	cfg, err := c.Link.TLS.Config()
	if err != nil {
		return Finding{"tls", Fail, err.Error(), "correct the section tls of the configuration"}, nil
	}
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	// The chain is seen even when it is not to be trusted; what the agent would say of it is asked for in the same place.
	var chain []*x509.Certificate
	skipChain, verify := cfg.InsecureSkipVerify, cfg.VerifyConnection
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		chain = cs.PeerCertificates
		if !skipChain {
			if err := verifyChain(cs, cfg.RootCAs, cfg.ServerName); err != nil {
				return err
			}
		}
		if verify != nil {
			return verify(cs)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	tc := tls.Client(conn, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return Finding{"tls", Fail, err.Error(), remedy(err)}, chain
	}
	state := tc.ConnectionState()
	f := Finding{Check: "tls", State: OK, Detail: fmt.Sprintf("%s, %s, valid until %s", tls.VersionName(state.Version),
		tls.CipherSuiteName(state.CipherSuite), chain[0].NotAfter.Format("2006-01-02"))}
	if left := time.Until(chain[0].NotAfter); left < 14*24*time.Hour {
		f.State, f.Do = Warn, fmt.Sprintf("the hub's certificate ends in %d days: whoever runs the hub renews it", int(left.Hours()/24))
	}
	return f, chain
}

func verifyChain(cs tls.ConnectionState, roots *x509.CertPool, name string) error {
	between := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name})
	return err
}

// remedy is what to do about a handshake that failed.
func remedy(err error) string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return "the hub's CA is not trusted: put its CA (DATA/tls/ca.pem on the hub) where tls.ca points, or its key's digest into tls.pins"
	case errors.As(err, &host):
		return "the certificate is for another name: use that name in hub:, or say it in tls.server_name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "set the gateway's clock if it is wrong (see clock); else the hub's certificate has to be renewed"
	case errors.As(err, &notTLS):
		return "that port does not speak TLS: tcp:// instead of tls://, or the other port"
	case strings.Contains(err.Error(), "pinned"):
		return "the hub has another key than tls.pins says: ask its operator whether it was changed, and replace the pin"
	}
	return "something between the gateway and the hub breaks TLS up, or the hub does not speak it there"
}

// built is older than any clock that is right.
var built = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// clock compares the clock with what is known of the time without a time service.
func (c Config) clock(chain []*x509.Certificate, now time.Time) Finding {
	const do = "set the clock: check that a time service runs (timedatectl, ntpd) and that its servers are in reach, and the battery of the clock"
	if now.Before(built) {
		return Finding{"clock", Fail, "it says " + now.Format(time.RFC3339) + ", before this program was made", do}
	}
	if len(chain) > 0 && now.Before(chain[0].NotBefore) {
		return Finding{"clock", Fail, fmt.Sprintf("it says %s, before the hub's certificate begins (%s)", now.Format(time.RFC3339), chain[0].NotBefore.Format(time.RFC3339)), do}
	}
	if len(chain) > 0 && now.After(chain[0].NotAfter) {
		return Finding{"clock", Fail, fmt.Sprintf("it says %s, after the end of the hub's certificate (%s)", now.Format(time.RFC3339), chain[0].NotAfter.Format(time.RFC3339)), do}
	}
	return Finding{Check: "clock", State: OK, Detail: now.Format(time.RFC3339)}
}

// login logs in as the gateway, unless the agent is logged in.
func (c Config) login(ctx context.Context, before []Finding) Finding {
	for _, f := range before {
		if f.State == Fail && f.Check != "clock" {
			return skip("login", f.Check+" failed")
		}
	}
	if c.Running != nil && c.Running.Connected {
		return Finding{Check: "login", State: OK, Detail: "the agent is logged in as " + c.Link.Device.String()}
	}
	cfg := c.Link
	cfg.ConnectTimeout = c.Timeout
	// With the session that the agent has: a clean one would drop what the hub keeps for it.
	err := link.Probe(ctx, cfg)
	switch {
	case err == nil:
		return Finding{Check: "login", State: OK, Detail: "the hub takes " + c.Link.Device.String()}
	case errors.Is(err, link.ErrBadCredentials):
		return Finding{"login", Fail, err.Error(), "compare product, device and secret with the hub: hawserctl device get PRODUCT DEVICE"}
	case errors.Is(err, link.ErrNotAuthorized):
		return Finding{"login", Fail, err.Error(), "the device is disabled or deleted at the hub: hawserctl device enable PRODUCT DEVICE"}
	}
	return Finding{"login", Fail, err.Error(), "the connection is there and the login does not end: check that hub: is the address of its MQTT door"}
}
