package agent

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/edge-agent/journal"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// systemFiles are what the kernel tells of the gateway that helps.
var systemFiles = []string{"/proc/version", "/proc/cmdline", "/proc/cpuinfo", "/proc/meminfo", "/proc/mounts", "/proc/uptime", "/proc/loadavg",
	"/proc/net/route", "/proc/net/dev", "/proc/mtd", "/etc/os-release", "/etc/openwrt_release", "/etc/resolv.conf"}

// maxSystemFile bounds what is taken of one.
const maxSystemFile = 64 << 10

// Diagnose writes a tar.gz (mode 0600) with what whoever helps from afar needs, and returns the names of the files in it. No secret of the configuration
// is in it: each is looked for in every file and replaced.
func Diagnose(ctx context.Context, cfg Config, version, path string) (names []string, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	names, err = cfg.pack(ctx, version, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return names, nil
}

// pack gathers the files. What cannot be had leaves a file that says why.
func (c *Config) pack(ctx context.Context, version string, w io.Writer) (names []string, err error) {
	zip := gzip.NewWriter(w)
	tar := tarball{zip, time.Now()}
	add := func(name string, write func(io.Writer) error) {
		var b bytes.Buffer
		if e := write(&b); e != nil {
			fmt.Fprintf(&b, "%v\n", e)
		}
		err = errors.Join(err, tar.add(name, c.mask(b.Bytes())))
		names = append(names, name)
	}
	add("version.txt", func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "hawser-agent %s %s %s %s/%s\n", version, Variant, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return err
	})
	add("config.yaml", c.Show)
	add("status.json", inJSON(func() (any, error) { return AskStatus(ctx, *c) }))
	add("doctor.json", inJSON(func() (any, error) { return Examine(ctx, *c) }))
	add("buffer.json", inJSON(func() (any, error) { return buffer.Inspect(c.BufferDir(), nil) }))
	if c.Firmware != nil {
		add("ota.json", inJSON(func() (any, error) { return OTAHistory(ctx, *c, ident.Device{}) }))
	}
	add("log.txt", func(w io.Writer) error {
		return Logs(ctx, *c, MaxLogLines, false, func(l journal.Line) error {
			_, err := fmt.Fprintln(w, l.Text)
			return err
		})
	})
	for _, path := range systemFiles {
		if b, e := os.ReadFile(path); e == nil {
			add("system"+strings.ReplaceAll(path, "/", "-")+".txt", func(w io.Writer) error {
				_, err := w.Write(b[:min(len(b), maxSystemFile)])
				return err
			})
		}
	}
	return names, errors.Join(err, tar.end(), zip.Close())
}

func inJSON(get func() (any, error)) func(io.Writer) error {
	return func(w io.Writer) error {
		v, err := get()
		if err != nil {
			return err
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
}

// mask replaces the secrets of the configuration.
func (c *Config) mask(b []byte) []byte {
	for _, s := range secrets(reflect.ValueOf(*c)) {
		if s != "" {
			b = bytes.ReplaceAll(b, []byte(s.Reveal()), []byte(s.String()))
		}
	}
	return b
}

// secrets are all that a value holds.
func secrets(v reflect.Value) (list []Secret) {
	switch s := v.Interface().(type) {
	case Secret:
		return []Secret{s}
	case discreet:
		return s.hidden()
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			list = secrets(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				list = append(list, secrets(v.Field(i))...)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			list = append(list, secrets(v.Index(i))...)
		}
	}
	return list
}

// tarball writes an archive in the ustar format (POSIX.1-1988); the standard library's would be 1 % of the program.
type tarball struct {
	w  io.Writer
	at time.Time
}

const tarBlock = 512

// add writes a file. Its name has at most 100 bytes.
func (t tarball) add(name string, b []byte) error {
	var h [tarBlock]byte
	copy(h[:100], name)
	copy(h[100:], "0000600\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00        0", len(b), t.at.Unix()))
	copy(h[257:], "ustar\x0000")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	pad := make([]byte, (tarBlock-len(b)%tarBlock)%tarBlock)
	_, err := t.w.Write(append(append(h[:], b...), pad...))
	return err
}

func (t tarball) end() error {
	_, err := t.w.Write(make([]byte, 2*tarBlock))
	return err
}
