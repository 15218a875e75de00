package keyring

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrFile is returned for keys that cannot be read; the text says where and why.
var ErrFile = errors.New("keyring: unusable keys")

// ErrNoFile is returned when keys that came from the environment are to be changed.
var ErrNoFile = errors.New("keyring: the keys come from the environment (HAWSER_KEYRING): change them there, on every node")

const about = `# Hawser keyring. Who has this file can read every secret of the store, and without it nobody can.
# Keep a copy of it, apart from the backups of the store. A line is: id, time of birth, key, and perhaps "standby".
`

// Load reads the ring of this hub: from text (HAWSER_KEYRING, entries with commas or newlines between) when it is not empty, else
// from file. Where there is neither, it
// returns a new ring, which is written by Keep and not before: whether there should have been an old one is for the caller to
// find out first.
func Load(file, text string) (*Keyring, error) {
	if text != "" {
		return parse(strings.ReplaceAll(text, ",", "\n"), "HAWSER_KEYRING", "")
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		k := New()
		k.file = file
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read keyring: %w", err)
	}
	return parse(string(b), file, file)
}

// parse reads lines of "[id] [time] key [standby]".
func parse(text, where, file string) (*Keyring, error) {
	k := &Keyring{file: file}
	var keys []*key
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		key, err := parseKey(words)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: entry %d: %w", ErrFile, where, n, err)
		}
		keys = append(keys, key)
	}
	s := newSet(keys)
	if s.seal == nil {
		return nil, fmt.Errorf("%w: %s: there is no key that seals: restore it from its backup; an empty keyring opens nothing", ErrFile, where)
	}
	k.set.Store(s)
	return k, nil
}

// parseKey reads the words of an entry. Errors never hold what may be a key.
func parseKey(words []string) (*key, error) {
	var (
		id      string
		created time.Time
		standby bool
		bytes   []byte
	)
	for _, w := range words {
		switch t, timeErr := time.Parse(time.RFC3339, w); {
		case w == "standby":
			standby = true
		case timeErr == nil:
			created = t
		case len(w) == 2*idSize:
			id = w
		default:
			b, err := base64.StdEncoding.DecodeString(w)
			if err != nil || bytes != nil {
				return nil, errors.New("is not: id, time, key of 32 bytes in base64")
			}
			bytes = b
		}
	}
	if len(bytes) != keySize {
		return nil, errors.New("the key is not 32 bytes in base64")
	}
	k := ready([keySize]byte(bytes), created, standby)
	if id != "" && id != k.ID {
		return nil, fmt.Errorf("the key is not the one that had id %s: it is damaged, restore it from its backup", id)
	}
	return k, nil
}

// Fresh tells whether the ring is new, and neither Load found one nor Keep has written it.
func (k *Keyring) Fresh() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fresh
}

// Keep writes a ring that is new to its file (0600). Other rings and those without file stay as they are.
func (k *Keyring) Keep() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.fresh || k.file == "" {
		return nil
	}
	f, err := os.OpenFile(k.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make keyring: %w", err) // also when another hub made one meanwhile
	}
	if err := errors.Join(f.Close(), k.write(k.set.Load())); err != nil {
		return errors.Join(err, os.Remove(k.file))
	}
	k.fresh = false
	return nil
}

// Find looks once more for the file of a ring that is new: another node may have made it meanwhile. Other rings stay as they are.
func (k *Keyring) Find() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.fresh || k.file == "" {
		return nil
	}
	b, err := os.ReadFile(k.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read keyring: %w", err)
	}
	found, err := parse(string(b), k.file, k.file)
	if err != nil {
		return err
	}
	k.set.Store(found.set.Load())
	k.fresh = false
	return nil
}

// Reload reads the file again; it reports whether the keys have changed. On an error the ring stays as it was.
func (k *Keyring) Reload() (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file == "" || k.fresh {
		return false, nil
	}
	b, err := os.ReadFile(k.file)
	if err != nil {
		return false, fmt.Errorf("read keyring: %w", err)
	}
	next, err := parse(string(b), k.file, k.file)
	if err != nil {
		return false, err
	}
	have, want := k.set.Load(), next.set.Load()
	if have.text() == want.text() {
		return false, nil
	}
	k.set.Store(want)
	return true, nil
}

// Add makes a key that waits for Activate, and writes the file.
func (k *Keyring) Add() (Key, error) {
	fresh := newKey(time.Now())
	fresh.Standby = true
	return fresh.Key, k.change(func(keys []*key) []*key { return append(keys, fresh) })
}

// Activate makes the newest key the one that seals, and writes the file. It reports false when the newest seals already.
func (k *Keyring) Activate() (bool, error) {
	if keys := k.Keys(); !keys[len(keys)-1].Standby {
		return false, nil
	}
	return true, k.change(func(keys []*key) []*key {
		for i, old := range keys {
			keys[i] = ready(old.bytes, old.Created, false)
		}
		return keys
	})
}

// Remove takes a key out, which the caller knows that nothing is sealed under any more, and writes the file.
func (k *Keyring) Remove(id string) error {
	switch {
	case !k.Has(id):
		return &UnknownKeyError{ID: id}
	case k.Sealing() == id:
		return fmt.Errorf("keyring: %s is the key that seals: rotate first", id)
	}
	return k.change(func(keys []*key) []*key {
		var rest []*key
		for _, key := range keys {
			if key.ID != id {
				rest = append(rest, key)
			}
		}
		return rest
	})
}

func (k *Keyring) change(f func([]*key) []*key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file == "" {
		return ErrNoFile
	}
	s := newSet(f(append([]*key(nil), k.set.Load().keys...)))
	if err := k.write(s); err != nil {
		return err
	}
	k.set.Store(s)
	return nil
}

// text is the file.
func (s *set) text() string {
	var b strings.Builder
	b.WriteString(about)
	for _, key := range s.keys {
		fmt.Fprintf(&b, "%s %s %s", key.ID, key.Created.Format(time.RFC3339), base64.StdEncoding.EncodeToString(key.bytes[:]))
		if key.Standby {
			b.WriteString(" standby")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// write replaces the file whole.
func (k *Keyring) write(s *set) error {
	temp := k.file + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write keyring: %w", err)
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write keyring: %w", err)
	}
	_, err = f.WriteString(s.text())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, k.file)
	}
	if err != nil {
		return fmt.Errorf("write keyring: %w", err)
	}
	dir, err := os.Open(filepath.Dir(k.file))
	if err != nil {
		return fmt.Errorf("write keyring: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}
