package ota

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
)

// The methods of ota/upstream.
const (
	methodVersion  = "report_version"
	methodRequest  = "request_firmware"
	methodProgress = "report_progress"
	methodSuccess  = "report_success"
	methodFail     = "report_fail"
)

// report is a message of a device, as far as it can be read.
type report struct {
	method, module, version, state string
	percent, code                  int64
	hasPercent                     bool
	// What only devices say that were offered a manifest.
	deployment, class             string
	attempt, step, permille, size int64
	// What a device announces that verifies manifests.
	manifest       bool
	image          []byte
	sequence, root int64
}

// announcement reads what a device says that verifies manifests.
func (r *report) announcement(p codec.Value) {
	if r.manifest, _ = p.Get("Manifest").Bool(); !r.manifest {
		return
	}
	image := p.Get("Image")
	if b, ok := image.Bytes(); ok {
		r.image = bytes.Clone(b)
	} else if text, ok := image.Str(); ok {
		r.image, _ = base64.StdEncoding.DecodeString(text)
	}
	if len(r.image) != sha256.Size {
		r.image = nil
	}
	r.sequence, _ = number(p.Get("Sequence"))
	r.root, _ = number(p.Get("Root"))
}

// parseReport reads what can be read; the zero method is a message that is none. Stock devices send report_fail with bytes in it that
// make it no JSON: it is taken all the same.
func parseReport(m *uplink.Message) report {
	root, err := m.Root()
	if err != nil {
		return parseGarbage(m.Payload)
	}
	var r report
	method, _ := root.Get("Method").Str()
	p := root.Get("Payload")
	module, _ := p.Get("Module").Str()
	version, _ := p.Get("Version").Str()
	state, _ := p.Get("State").Str()
	// The document's memory is the connection's.
	r.method, r.module, r.version, r.state = strings.Clone(method), strings.Clone(module), strings.Clone(version), strings.Clone(state)
	if r.module == "" {
		r.module = DefaultModule
	}
	r.percent, r.hasPercent = number(p.Get("Percent"))
	r.code, _ = number(p.Get("ErrCode"))
	r.announcement(p)
	if id, _ := p.Get("Deployment").Str(); id != "" {
		class, _ := p.Get("Class").Str()
		r.deployment, r.class = strings.Clone(id), strings.Clone(class)
		r.attempt, _ = number(p.Get("Attempt"))
		r.step, _ = number(p.Get("Step"))
		r.permille, _ = number(p.Get("Permille"))
		r.size, _ = number(p.Get("Bytes"))
	}
	return r
}

// number reads a number, or a string that is one.
func number(v codec.Value) (int64, bool) {
	switch v.Kind() {
	case codec.Int:
		n, _ := v.Int()
		return n, true
	case codec.Float:
		f, _ := v.Float()
		if f > -1e9 && f < 1e9 {
			return int64(f), true
		}
	case codec.String:
		s, _ := v.Str()
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, true
		}
	}
	return 0, false
}

// parseGarbage looks for a report_fail in bytes that are no JSON.
func parseGarbage(b []byte) report {
	if !bytes.Contains(b, []byte(`"`+methodFail+`"`)) {
		return report{}
	}
	r := report{method: methodFail}
	_, rest, _ := bytes.Cut(b, []byte(`"ErrCode"`))
	rest = bytes.TrimLeft(rest, ` :"`)
	end := 0
	for end < len(rest) && (rest[end] == '-' || rest[end] >= '0' && rest[end] <= '9') {
		end++
	}
	r.code, _ = strconv.ParseInt(string(rest[:end]), 10, 64) // 0, which is unknown, when there is none
	return r
}
