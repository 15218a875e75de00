package signing

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
)

// Key files are what other tools read and write too: PKCS #8 in PEM, encrypted by PBES2 (RFC 8018) with PBKDF2, HMAC-SHA-256
// and AES-256 in CBC mode, as openssl pkey has it; public keys are SubjectPublicKeyInfo in PEM.
const (
	publicBlock    = "PUBLIC KEY"
	privateBlock   = "PRIVATE KEY"
	encryptedBlock = "ENCRYPTED PRIVATE KEY"

	// iterations is what a guess costs, the figure that OWASP names for PBKDF2 with SHA-256.
	iterations = 600_000
	// maxIterations bounds what a file can make its reader do.
	maxIterations = 10_000_000
	maxKeyFile    = 16 << 10
)

// The errors of key files.
var (
	ErrPassphrase       = errors.New("wrong passphrase")
	ErrPassphraseNeeded = errors.New("the key is encrypted; a passphrase is needed")
	ErrKeyFile          = errors.New("not a key file")
)

var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Params struct {
	KDF    pkix.AlgorithmIdentifier
	Cipher pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier
}

// MarshalPublicKey writes a public key file.
func MarshalPublicKey(k PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(k[:]))
	if err != nil {
		panic(err) // an Ed25519 key always encodes
	}
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der})
}

// ParsePublicKey reads a public key file.
func ParsePublicKey(b []byte) (PublicKey, error) {
	block, err := onlyBlock(b)
	if err != nil {
		return PublicKey{}, err
	}
	if block.Type != publicBlock {
		return PublicKey{}, fmt.Errorf("%w of a public key: it holds %q", ErrKeyFile, block.Type)
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	public, ok := k.(ed25519.PublicKey)
	if !ok {
		return PublicKey{}, fmt.Errorf("%w: %T, want Ed25519", ErrKeyFile, k)
	}
	return PublicKey(public), nil
}

// onlyBlock is the one PEM block of a file.
func onlyBlock(b []byte) (*pem.Block, error) {
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("%w: %d bytes", ErrKeyFile, len(b))
	}
	block, rest := pem.Decode(b)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: want one PEM block", ErrKeyFile)
	}
	return block, nil
}

// MarshalPrivateKey writes a private key file, encrypted unless the passphrase is empty.
func MarshalPrivateKey(k PrivateKey, passphrase string) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return nil, err
	}
	if passphrase == "" {
		return pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der}), nil
	}
	var salt, iv [16]byte
	rand.Read(salt[:]) // it never fails
	rand.Read(iv[:])
	c, err := blockCipher(passphrase, salt[:], iterations)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(der)%aes.BlockSize
	der = append(der, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(c, iv[:]).CryptBlocks(der, der)
	if der, err = wrapEncrypted(der, salt[:], iv[:]); err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: encryptedBlock, Bytes: der}), nil
}

func blockCipher(passphrase string, salt []byte, iterations int) (cipher.Block, error) {
	key, err := pbkdf2.Key(sha256.New, passphrase, salt, iterations, 32)
	if err != nil {
		return nil, err
	}
	return aes.NewCipher(key)
}

func wrapEncrypted(data, salt, iv []byte) ([]byte, error) {
	kdf, err := asn1.Marshal(pbkdf2Params{Salt: salt, Iterations: iterations, PRF: pkix.AlgorithmIdentifier{Algorithm: oidHMACSHA256, Parameters: asn1.NullRawValue}})
	if err != nil {
		return nil, err
	}
	vector, err := asn1.Marshal(iv)
	if err != nil {
		return nil, err
	}
	scheme, err := asn1.Marshal(pbes2Params{
		KDF:    pkix.AlgorithmIdentifier{Algorithm: oidPBKDF2, Parameters: asn1.RawValue{FullBytes: kdf}},
		Cipher: pkix.AlgorithmIdentifier{Algorithm: oidAES256CBC, Parameters: asn1.RawValue{FullBytes: vector}},
	})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(encryptedKey{pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: asn1.RawValue{FullBytes: scheme}}, data})
}

// NeedsPassphrase tells whether a private key file is encrypted.
func NeedsPassphrase(b []byte) bool {
	block, err := onlyBlock(b)
	return err == nil && block.Type == encryptedBlock
}

// ParsePrivateKey reads a private key file. The passphrase is not looked at when the key is not encrypted.
func ParsePrivateKey(b []byte, passphrase string) (PrivateKey, error) {
	block, err := onlyBlock(b)
	if err != nil {
		return PrivateKey{}, err
	}
	switch block.Type {
	case privateBlock:
		return parsePKCS8(block.Bytes)
	case encryptedBlock:
		if passphrase == "" {
			return PrivateKey{}, ErrPassphraseNeeded
		}
		der, err := decrypt(block.Bytes, passphrase)
		if err != nil {
			return PrivateKey{}, err
		}
		k, err := parsePKCS8(der)
		if err != nil {
			return PrivateKey{}, ErrPassphrase // the padding was right by chance, the key was not
		}
		return k, nil
	}
	return PrivateKey{}, fmt.Errorf("%w of a private key: it holds %q", ErrKeyFile, block.Type)
}

func parsePKCS8(der []byte) (PrivateKey, error) {
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	private, ok := k.(ed25519.PrivateKey)
	if !ok {
		return PrivateKey{}, fmt.Errorf("%w: %T, want Ed25519", ErrKeyFile, k)
	}
	return PrivateKey{private}, nil
}

func decrypt(der []byte, passphrase string) ([]byte, error) {
	data, kdf, iv, err := unwrapEncrypted(der)
	if err != nil {
		return nil, err
	}
	c, err := blockCipher(passphrase, kdf.Salt, kdf.Iterations)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(c, iv).CryptBlocks(plain, data)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize || !bytes.Equal(plain[len(plain)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, ErrPassphrase
	}
	return plain[:len(plain)-pad], nil
}

// unwrapEncrypted takes an encrypted key apart, within bounds.
func unwrapEncrypted(der []byte) (data []byte, kdf pbkdf2Params, iv []byte, err error) {
	var e encryptedKey
	var scheme pbes2Params
	if err = unmarshalAll(der, &e); err != nil {
		return nil, kdf, nil, err
	}
	if !e.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, kdf, nil, fmt.Errorf("%w: encryption %v, want PBES2", ErrKeyFile, e.Algorithm.Algorithm)
	}
	if err = unmarshalAll(e.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, kdf, nil, err
	}
	if !scheme.KDF.Algorithm.Equal(oidPBKDF2) || !scheme.Cipher.Algorithm.Equal(oidAES256CBC) {
		return nil, kdf, nil, fmt.Errorf("%w: want PBKDF2 with AES-256 in CBC mode (openssl pkey -aes256)", ErrKeyFile)
	}
	if err = errors.Join(unmarshalAll(scheme.KDF.Parameters.FullBytes, &kdf), unmarshalAll(scheme.Cipher.Parameters.FullBytes, &iv)); err != nil {
		return nil, kdf, nil, err
	}
	switch {
	case !kdf.PRF.Algorithm.Equal(oidHMACSHA256):
		return nil, kdf, nil, fmt.Errorf("%w: want PBKDF2 with HMAC-SHA-256", ErrKeyFile)
	case kdf.Iterations < 1 || kdf.Iterations > maxIterations || kdf.KeyLength != 0 && kdf.KeyLength != 32:
		return nil, kdf, nil, fmt.Errorf("%w: %d iterations for a key of %d bytes", ErrKeyFile, kdf.Iterations, kdf.KeyLength)
	case len(iv) != aes.BlockSize || len(e.Data) == 0 || len(e.Data)%aes.BlockSize != 0:
		return nil, kdf, nil, fmt.Errorf("%w: its encrypted part has no whole blocks", ErrKeyFile)
	}
	return e.Data, kdf, iv, nil
}

func unmarshalAll(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes behind its end")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	return nil
}
