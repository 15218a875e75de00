// Package ca gives a hub without certificates of its own a private certificate authority and a server certificate.
//
// At the first start it makes an ECDSA P-256 CA and a certificate that it signs, in files that only the hub's user can read; later
// starts load them. The server certificate is made anew when it is about to expire or when a host is asked for that it does not
// name; the CA stays, since devices hold it.
//
// What it makes suits stock devices (mbedTLS 2.4): P-256 with SHA-256, no name constraints, and every host, IP addresses
// too, as a dNSName beside the iPAddress. An operator who has certificates puts them in place of the files.
package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The files in the folder, PEM. HubFile holds the hub's key and its chain, the certificate and the CA: in one file, so that
// it is replaced whole.
const (
	CAFile  = "ca.pem"
	caKey   = "ca-key.pem"
	HubFile = "hub.pem"
)

const (
	caLife    = 30 * 365 * 24 * time.Hour
	certLife  = 825 * 24 * time.Hour // what clients that follow the CA/Browser rules of private roots still take
	renewLeft = 30 * 24 * time.Hour
	backdate  = 24 * time.Hour // for devices whose clock is behind
)

// ErrFile is returned for a file that is there but cannot be used.
var ErrFile = errors.New("ca: unusable file")

// Authority is a loaded CA with the hub's certificate.
type Authority struct {
	Path string // of the CA certificate that devices are to trust
	cert tls.Certificate
}

// Load reads what dir holds and makes what is missing. hosts are the names and addresses under which devices reach the
// hub; localhost, the loopback addresses and the machine's host name are always among them.
func Load(dir string, hosts []string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for certificates %s: %w", dir, err)
	}
	a := &Authority{Path: filepath.Join(dir, CAFile)}
	own, err := a.loadOwn(dir)
	if err != nil {
		return nil, err
	}
	if own && a.good(hosts) {
		return a, nil
	}
	root, err := loadRoot(dir)
	if own && errors.Is(err, fs.ErrNotExist) {
		return a, nil // an operator's certificate, which is not ours to renew
	}
	if errors.Is(err, fs.ErrNotExist) {
		root, err = makeRoot(dir)
	}
	if err != nil {
		return nil, err
	}
	if own {
		hosts = append(hosts, a.cert.Leaf.DNSNames...)
	}
	if a.cert, err = root.issue(dir, hosts); err != nil {
		return nil, err
	}
	return a, nil
}

// Config is the server side of TLS for devices and browsers: TLS 1.2 with ECDHE and TLS 1.3, with tickets for resumption.
func (a *Authority) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{a.cert}}
}

// Certificate is the hub's own, for logs.
func (a *Authority) Certificate() *x509.Certificate { return a.cert.Leaf }

// loadOwn reads the hub's certificate; it reports false when there is none yet.
func (a *Authority) loadOwn(dir string) (bool, error) {
	b, err := os.ReadFile(filepath.Join(dir, HubFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		a.cert, err = tls.X509KeyPair(b, b)
	}
	if err != nil {
		return false, fmt.Errorf("%w: %s: %w: repair it, or remove it to have a new one made", ErrFile, filepath.Join(dir, HubFile), err)
	}
	return true, nil
}

// good tells whether the certificate will do for a while and for every host.
func (a *Authority) good(hosts []string) bool {
	if time.Until(a.cert.Leaf.NotAfter) < renewLeft {
		return false
	}
	for _, h := range hosts {
		if a.cert.Leaf.VerifyHostname(h) != nil {
			return false
		}
	}
	return true
}

// root is the CA with its key.
type root struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func loadRoot(dir string) (*root, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, CAFile), filepath.Join(dir, caKey))
	if err != nil {
		return nil, fmt.Errorf("read the hub's CA in %s: %w", dir, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%w: %s is no ECDSA CA", ErrFile, CAFile)
	}
	return &root{pair.Leaf, key}, nil
}

func makeRoot(dir string) (*root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make CA key: %w", err)
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Hawser hub CA", Organization: []string{"Hawser"}},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(caLife), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: keyID(key),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make CA certificate: %w", err)
	}
	// The key first: a key without certificate is made anew at the next start, a certificate without key could not be used.
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	if err := replace(filepath.Join(dir, caKey), keyPEM); err != nil {
		return nil, err
	}
	if err := replace(filepath.Join(dir, CAFile), encodeCert(der)); err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make CA certificate: %w", err)
	}
	return &root{cert, key}, nil
}

// issue makes the hub's certificate.
func (r *root) issue(dir string, hosts []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make hub key: %w", err)
	}
	names, ips := sans(hosts)
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Hawser hub", Organization: []string{"Hawser"}},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(certLife), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: names, IPAddresses: ips, SubjectKeyId: keyID(key),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, r.cert, &key.PublicKey, r.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make hub certificate: %w", err)
	}
	b, err := encodeKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	b = append(append(b, encodeCert(der)...), encodeCert(r.cert.Raw)...)
	if err := replace(filepath.Join(dir, HubFile), b); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(b, b)
}

// sans lists the names of the hub, each once; an IP address is there twice, as stock devices look for it among the names.
func sans(hosts []string) (names []string, ips []net.IP) {
	all := append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	if name, err := os.Hostname(); err == nil {
		all = append(all, name)
	}
	for _, h := range all {
		if h == "" || slices.Contains(names, h) {
			continue
		}
		ip := net.ParseIP(h)
		if ip != nil {
			ips = append(ips, ip)
		}
		if ip == nil || ip.To4() != nil {
			names = append(names, h) // an IPv6 address is no dNSName that Go or mbedTLS would read
		}
	}
	return names, ips
}

func keyID(key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil // x509 computes one
	}
	sum := sha256.Sum256(der)
	return sum[:20]
}

func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// replace writes a file of mode 0600 so that it is there whole or not at all.
func replace(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}
