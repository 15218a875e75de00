package ca

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hawser-iot/hawser/cloud/keyring"
)

// The CA's key file is a PEM block of this type. Its bytes are a sealed value, as package keyring describes it, of the key in PKCS #8;
// the context is "tls ca key:" and the SHA-256 of the CA's certificate in hex. A key in clear, of an earlier version or an operator's
// own, is read too, and sealed.
const sealedType = "HAWSER SEALED KEY"

func sealContext(cert []byte) string {
	sum := sha256.Sum256(cert)
	return "tls ca key:" + hex.EncodeToString(sum[:])
}

// errOther is a key that does not go with the CA's certificate: an operator has put another certificate there.
var errOther = errors.New("no key of this CA")

// sealKey is the key's file.
func sealKey(ring *keyring.Keyring, key crypto.PrivateKey, cert []byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode CA key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: sealedType, Bytes: ring.Seal(der, sealContext(cert))}), nil
}

// openPair reads a CA and its key, sealed or not; under is the id of the key of the ring that it lies under, "" when it lies in clear.
func openPair(dir string, ring *keyring.Keyring) (pair tls.Certificate, under string, err error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, CAFile))
	if err != nil {
		return pair, "", err
	}
	keyPEM, err := os.ReadFile(filepath.Join(dir, caKey))
	if err != nil {
		return pair, "", err
	}
	if block, _ := pem.Decode(keyPEM); block != nil && block.Type == sealedType {
		cert, _ := pem.Decode(certPEM)
		if cert == nil {
			return pair, "", fmt.Errorf("%w: %s is no PEM", ErrFile, CAFile)
		}
		der, err := ring.Open(block.Bytes, sealContext(cert.Bytes))
		if errors.Is(err, keyring.ErrSealed) {
			err = fmt.Errorf("%w: %w", errOther, err)
		}
		if err != nil {
			return pair, "", fmt.Errorf("%w: %s: %w", ErrFile, filepath.Join(dir, caKey), err)
		}
		under, keyPEM = keyring.KeyOf(block.Bytes), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	pair, err = tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return pair, "", fmt.Errorf("%w: %w: %s: %w", ErrFile, errOther, filepath.Join(dir, caKey), err)
	}
	return pair, under, nil
}

// Seal seals the CA's key in dir when it lies in clear, or under another key of the ring than the one that seals now. It reports
// whether it did. What is not there, or a key that belongs to another certificate, is left as it is.
func Seal(dir string, ring *keyring.Keyring) (sealed bool, err error) {
	pair, under, err := openPair(dir, ring)
	if errors.Is(err, fs.ErrNotExist) || err == nil && under == ring.Sealing() {
		return false, nil
	}
	if errors.Is(err, errOther) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	text, err := sealKey(ring, pair.PrivateKey, pair.Certificate[0])
	if err != nil {
		return false, err
	}
	path := filepath.Join(dir, caKey)
	// The file's old bytes are overwritten once the new ones are in its place: on the disk they would still be there.
	old, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return false, fmt.Errorf("seal %s: %w", path, err)
	}
	info, err := old.Stat()
	if err == nil {
		err = replace(path, text)
	}
	if err == nil {
		if _, err = old.WriteAt(make([]byte, info.Size()), 0); err == nil {
			err = old.Sync()
		}
	}
	if err = errors.Join(err, old.Close()); err != nil {
		return false, fmt.Errorf("seal %s: %w", path, err)
	}
	return true, nil
}

// SealedUnder is the id of the key of a ring that the CA's key in dir is sealed under; "" when there is none that is.
func SealedUnder(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, caKey))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the CA's key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != sealedType {
		return "", nil
	}
	return keyring.KeyOf(block.Bytes), nil
}
