package remote

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// ErrHostKey is returned by Dial for a host whose key is not in known_hosts, or another one.
var ErrHostKey = errors.New("remote: the host's key is not to be trusted")

// hostKeys is a file of host keys.
type hostKeys struct {
	path  string
	add   bool
	known ssh.HostKeyCallback
}

// adding holds that several connections do not write into a file at a time.
var adding sync.Mutex

func newHostKeys(path string, add bool) (*hostKeys, error) {
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		path = filepath.Join(home, ".ssh", "known_hosts")
	}
	k := &hostKeys{path: path, add: add}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return k, nil
	}
	var err error
	if k.known, err = knownhosts.New(path); err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	return k, nil
}

// none is an address for the callback, which looks at names only.
type none struct{}

func (none) Network() string { return "tcp" }
func (none) String() string  { return "0.0.0.0:0" }

// algorithms are those of the keys that are known of a host: it would offer another of its keys otherwise, which is not known.
func (k *hostKeys) algorithms(addr string) (list []string) {
	if k.known == nil {
		return nil
	}
	var unknown *knownhosts.KeyError
	if err := k.known(addr, none{}, noKey{}); !errors.As(err, &unknown) {
		return nil
	}
	for _, w := range unknown.Want {
		if t := w.Key.Type(); t == ssh.KeyAlgoRSA {
			list = append(list, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			list = append(list, t)
		}
	}
	return list
}

// noKey is a key that nobody has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("remote: no key") }

func (k *hostKeys) check(host string, remote net.Addr, key ssh.PublicKey) error {
	var err error = &knownhosts.KeyError{}
	if k.known != nil {
		err = k.known(host, remote, key)
	}
	var unknown *knownhosts.KeyError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &unknown):
		return fmt.Errorf("%w: %w", ErrHostKey, err)
	case len(unknown.Want) > 0:
		return fmt.Errorf("%w: it has changed to %s; %s:%d has another: somebody may listen in, or the device was installed anew", ErrHostKey,
			ssh.FingerprintSHA256(key), unknown.Want[0].Filename, unknown.Want[0].Line)
	case !k.add:
		return fmt.Errorf("%w: %s is not known, its key is %s: compare it, then take it with --accept-new-host, or ssh-keyscan it into %s", ErrHostKey,
			host, ssh.FingerprintSHA256(key), k.path)
	}
	return k.keep(host, key)
}

// keep adds a key to the file.
func (k *hostKeys) keep(host string, key ssh.PublicKey) error {
	adding.Lock()
	defer adding.Unlock()
	if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(k.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, knownhosts.Line([]string{knownhosts.Normalize(host)}, key))
	return errors.Join(err, f.Close())
}
