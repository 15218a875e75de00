// Package ca gives a hub without certificates of its own a private certificate authority and a server certificate.
//
// At the first start it makes an ECDSA P-256 CA and a certificate that it signs, in files that only the hub's user can read; later
// starts load them. The CA's key lies sealed under the keyring: see seal.go. The server certificate is made anew when it is about to expire or when a host is asked for that it does not
// name; the CA stays, since devices hold it.
//
// What it makes suits stock devices (mbedTLS 2.4): P-256 with SHA-256, no name constraints, and every host, IP addresses
// too, as a dNSName beside the iPAddress. An operator who has certificates puts them in place of the files, also while the hub
// runs: Check takes a changed file over for new connections, and keeps the old certificate when the new one is broken.
//
// Certificates of devices are auth/authority's business; here they are only asked for.
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
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
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

	dir   string
	hosts []string
	ring  *keyring.Keyring
	cert  atomic.Pointer[tls.Certificate]

	mu      sync.Mutex // guards the fields below
	seen    [sha256.Size]byte
	configs []*tls.Config
	tickets [][32]byte
}

// Load reads what dir holds and makes what is missing. hosts are the names and addresses under which devices reach the
// hub; localhost, the loopback addresses and the machine's host name are always among them. ring is what the CA's key is sealed under.
func Load(dir string, hosts []string, ring *keyring.Keyring) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for certificates %s: %w", dir, err)
	}
	if _, err := Seal(dir, ring); err != nil {
		return nil, err
	}
	a := &Authority{Path: filepath.Join(dir, CAFile), dir: dir, hosts: hosts, ring: ring}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.refreshLocked(); err != nil {
		return nil, err
	}
	return a, nil
}

// Check looks at the files again, and at the time that the certificate has left. It reports whether there is a new certificate. On
// an error the one in use stays; the same broken file is an error once.
func (a *Authority) Check() (changed bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	changed, err = a.refreshLocked()
	_, sealErr := Seal(a.dir, a.ring) // an operator's new one, or the ring's
	return changed, errors.Join(err, sealErr)
}

// Seal seals the CA's key as Seal of its folder does, in turn with Check.
func (a *Authority) Seal() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := Seal(a.dir, a.ring)
	return err
}

// refreshLocked reads the hub's certificate and makes one when there is none, or one of ours that will not do.
func (a *Authority) refreshLocked() (changed bool, err error) {
	own, changed, err := a.loadOwnLocked()
	if err != nil {
		return false, err
	}
	if own && a.good() {
		return changed, nil
	}
	root, err := loadRoot(a.dir, a.ring)
	if own && errors.Is(err, fs.ErrNotExist) {
		return changed, nil // an operator's certificate, which is not ours to renew
	}
	if errors.Is(err, fs.ErrNotExist) {
		root, err = makeRoot(a.dir, a.ring)
	}
	if err != nil {
		return changed, err
	}
	hosts := a.hosts
	if own {
		hosts = append(slices.Clone(hosts), a.Certificate().DNSNames...)
	}
	text, err := root.issue(a.dir, hosts)
	if err != nil {
		return changed, err
	}
	return true, a.useLocked(text)
}

// useLocked takes the PEM of a key and its chain into use.
func (a *Authority) useLocked(text []byte) error {
	a.seen = sha256.Sum256(text)
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return err
	}
	a.cert.Store(&cert)
	return nil
}

// Certificate is the hub's own.
func (a *Authority) Certificate() *x509.Certificate { return a.cert.Load().Leaf }

// loadOwnLocked reads the hub's certificate, when the file is another one than before; own is false when there is none yet.
func (a *Authority) loadOwnLocked() (own, changed bool, err error) {
	path := filepath.Join(a.dir, HubFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && a.cert.Load() == nil {
		return false, false, nil
	}
	if err == nil && sha256.Sum256(b) == a.seen {
		return true, false, nil
	}
	if err == nil {
		err = a.useLocked(b)
	}
	if err != nil {
		return false, false, fmt.Errorf("%w: %s: %w: repair it, or remove it and start anew to have one made", ErrFile, path, err)
	}
	return true, true, nil
}

// good tells whether the certificate will do for a while and for every host.
func (a *Authority) good() bool {
	leaf := a.Certificate()
	if time.Until(leaf.NotAfter) < renewLeft {
		return false
	}
	for _, h := range a.hosts {
		if leaf.VerifyHostname(h) != nil {
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

func loadRoot(dir string, ring *keyring.Keyring) (*root, error) {
	pair, _, err := openPair(dir, ring)
	if err != nil {
		return nil, fmt.Errorf("read the hub's CA in %s: %w", dir, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%w: %s is no ECDSA CA", ErrFile, CAFile)
	}
	return &root{pair.Leaf, key}, nil
}

func makeRoot(dir string, ring *keyring.Keyring) (*root, error) {
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
	keyPEM, err := sealKey(ring, key, der)
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

// issue makes the hub's certificate and returns what it wrote to its file.
func (r *root) issue(dir string, hosts []string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make hub key: %w", err)
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
		return nil, fmt.Errorf("make hub certificate: %w", err)
	}
	b, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	b = append(append(b, encodeCert(der)...), encodeCert(r.cert.Raw)...)
	if err := replace(filepath.Join(dir, HubFile), b); err != nil {
		return nil, err
	}
	return b, nil
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
