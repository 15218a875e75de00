package upload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	sdk "github.com/hawser-iot/hawser/device-sdk/upload"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/zstdenc"
)

// stamp is what a file is told from its former self by.
type stamp struct {
	Size int64
	Time int64 // of the last change, ns
}

// found is a file that a rule wants sent.
type found struct {
	path string
	stamp
	size int64
	rule Rule
	sent bool // the hub has it; what the rule wants done then is left
}

// record is what State keeps of a file that the hub has, by its path.
type record struct {
	Path string
	stamp
	ID string // at the hub
}

const filePrefix = "file/"

// keyOf is a word for a path: at the hub the key of its session, here that of its record.
func keyOf(path string) string {
	sum := sha256.Sum256([]byte(path))
	return "spool-" + hex.EncodeToString(sum[:16])
}

// look lists what has settled and is not dealt with, oldest first in each rule, and forgets what is gone.
func (u *Upload) look() (list []found) {
	now, seen, folders := u.now(), map[string]stamp{}, map[string]bool{}
	for _, r := range u.cfg.Rules {
		paths, _ := filepath.Glob(r.Glob) // Validate has checked the pattern
		var of []found
		for _, path := range paths {
			info, err := os.Lstat(path)
			if err != nil || !info.Mode().IsRegular() || !plain(r.Root(), filepath.Dir(path), folders) || r.MaxSize > 0 && info.Size() > r.MaxSize {
				continue
			}
			if _, twice := seen[path]; twice { // the first rule has it
				continue
			}
			s := stamp{info.Size(), info.ModTime().UnixNano()}
			seen[path] = s
			if was, ok := u.seen[path]; !ok || was != s || now.Sub(info.ModTime()) < r.Settle || now.Before(u.later[path]) {
				continue
			}
			rec := u.recordOf(path)
			known := rec != nil && rec.stamp == s
			if known && r.After == Keep {
				continue
			}
			of = append(of, found{path: path, stamp: s, size: s.Size, rule: r, sent: known})
		}
		slices.SortStableFunc(of, func(a, b found) int { return int(min(1, max(-1, a.Time-b.Time))) })
		list = append(list, of...)
	}
	u.seen = seen
	u.forget(seen)
	return list
}

// forget removes what is kept of files that are gone.
func (u *Upload) forget(seen map[string]stamp) {
	for path := range u.later {
		if _, there := seen[path]; !there {
			delete(u.later, path)
		}
	}
	there := map[string]bool{}
	for path := range seen {
		there[filePrefix+keyOf(path)] = true
	}
	for _, k := range u.cfg.State.Keys() {
		if strings.HasPrefix(k, filePrefix) && !there[k] {
			u.cfg.State.Put(k, nil)
		}
	}
}

// recordOf is what is kept of a file; nil for nothing, or what cannot be read: the hub knows the file by its digest.
func (u *Upload) recordOf(path string) *record {
	var r record
	if json.Unmarshal(u.cfg.State.Get(filePrefix+keyOf(path)), &r) != nil || r.Path != path {
		return nil
	}
	return &r
}

// send sends a file and does what its rule wants done then. The record comes first: a crash between them does not send it again.
func (u *Upload) send(ctx context.Context, f found) error {
	if !f.sent {
		id, err := u.transfer(ctx, f)
		if err != nil {
			return err
		}
		b, err := json.Marshal(record{f.path, f.stamp, id})
		if err != nil {
			return err
		}
		if err := u.cfg.State.PutNow(filePrefix+keyOf(f.path), b); err != nil {
			return err
		}
	}
	return f.finish()
}

// finish deletes or moves a file that the hub has, if it is still the one that was sent.
func (f *found) finish() error {
	if err := f.unchanged(); err != nil {
		return err
	}
	root, name, err := f.below()
	if err != nil {
		return err
	}
	switch f.rule.After {
	case Delete:
		return removeBelow(root, name)
	case Move:
		if err := os.MkdirAll(f.rule.MoveTo, 0o750); err != nil {
			return err
		}
		return moveBelow(root, name, free(filepath.Join(f.rule.MoveTo, filepath.Base(f.path))))
	}
	return nil
}

// free is a path that nothing has: a number is put before the extension.
func free(path string) string {
	ext := filepath.Ext(path)
	for n, p := 1, path; ; n++ {
		if _, err := os.Lstat(p); err != nil {
			return p
		}
		p = fmt.Sprintf("%s.%d%s", strings.TrimSuffix(path, ext), n, ext)
	}
}

func (f *found) unchanged() error {
	info, err := os.Lstat(f.path)
	if err != nil || !plain(f.rule.Root(), filepath.Dir(f.path), map[string]bool{}) || !info.Mode().IsRegular() || (stamp{info.Size(), info.ModTime().UnixNano()}) != f.stamp {
		return errors.Join(sdk.ErrChanged, err)
	}
	return nil
}

// transfer sends the bytes.
func (u *Upload) transfer(ctx context.Context, f found) (id string, err error) {
	path := f.path
	if f.rule.Compress {
		if path, err = u.compress(ctx, f); err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, os.Remove(path)) }()
	}
	if err := f.unchanged(); err != nil {
		return "", err
	}
	file, err := f.open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	own := file.Changed
	file.Changed = func() error { return errors.Join(own(), f.unchanged()) }
	file.Name, file.Class, file.Key = f.name(), f.rule.Class, keyOf(f.path)
	id, err = u.sdk.Send(ctx, file)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errQuota) {
		err = cause
	}
	return id, err
}

// Root is the folder of the part of the glob that is no pattern: the rule's files are in it, or below it.
func (r *Rule) Root() string {
	root := filepath.Dir(r.Glob)
	for strings.ContainsAny(root, `*?[\\`) {
		root = filepath.Dir(root)
	}
	return root
}

// plain tells that a folder below root is reached over no link: who may write into a spool folder must not name files elsewhere by it, which the
// agent would send and delete with rights of its own. What was found out is kept in known.
func plain(root, dir string, known map[string]bool) bool {
	if dir == root || len(dir) <= len(root) {
		return true
	}
	ok, found := known[dir]
	if !found {
		info, err := os.Lstat(dir)
		ok = err == nil && info.IsDir() && plain(root, filepath.Dir(dir), known)
		known[dir] = ok
	}
	return ok
}

// below is what the file is called below the root of its rule.
func (f *found) below() (root, name string, err error) {
	root = f.rule.Root()
	name, err = filepath.Rel(root, f.path)
	return root, name, err
}

// source opens the file.
func (f *found) source() (*os.File, error) {
	root, name, err := f.below()
	if err != nil {
		return nil, err
	}
	return openBelow(root, name)
}

// open opens what is sent: the file itself, or a compressed copy of it.
func (f *found) open(path string) (*sdk.File, error) {
	if path != f.path {
		return sdk.Open(path)
	}
	src, err := f.source()
	if err != nil {
		return nil, err
	}
	return sdk.FileOf(src, func() (os.FileInfo, error) { return os.Lstat(f.path) })
}

// name is what the hub shows of a file: its path below the part of the glob that is no pattern, without what a name there may not have.
func (f *found) name() string {
	name, err := filepath.Rel(f.rule.Root(), f.path)
	if err != nil {
		name = filepath.Base(f.path)
	}
	name = strings.ToValidUTF8(name, "_")
	name = strings.Map(func(c rune) rune {
		if message.HiddenRune(c) {
			return '_'
		}
		return c
	}, name)
	for len(name) > maxName {
		_, n := utf8.DecodeRuneInString(name)
		name = name[n:] // the end tells more
	}
	if f.rule.Compress {
		name += ".zst"
	}
	return name
}

// maxName leaves room for .zst in what the hub takes.
const maxName = 500

// compress writes a compressed copy. The same file always gives the same bytes, so that a session goes on after a restart.
func (u *Upload) compress(ctx context.Context, f found) (path string, err error) {
	in, err := f.source()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	path = filepath.Join(u.cfg.Dir, "compressed")
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	z := zstdenc.NewWriter(out)
	_, err = io.Copy(z, io.LimitReader(cancelled{ctx, in}, f.size))
	return path, errors.Join(err, z.Close(), out.Close())
}

// cancelled reads until a ctx ends.
type cancelled struct {
	ctx context.Context //nolint:containedctx // a reader of one call
	r   io.Reader
}

func (c cancelled) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
