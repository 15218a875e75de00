// Package credential holds what a device or an application proves itself with: secrets that do not print themselves, the
// MQTT user name with its authmode and options, and the HMAC signatures of logins and HTTP bodies.
//
// It promises constant-time comparison and that no way of printing a Secret shows it. It knows no device: to look up the
// secret, to judge a timestamp's age and to throttle is left to cloud/auth.
package credential

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// Mode is the authmode of a login.
type Mode uint8

// The authmodes. The numbers of the first three are those on the wire.
const (
	ModeSecret   Mode = 1 // password is the DeviceSecret
	ModeRegister Mode = 2 // dynamic registration, password is the ProductSecret
	ModeHMAC     Mode = 3 // password is SignLogin of the DeviceSecret
	ModeX509     Mode = 4 // the client certificate proves the identity
	ModeApp      Mode = 5 // an application with an API key
)

// String returns the mode as the user name spells it.
func (m Mode) String() string {
	switch m {
	case ModeSecret, ModeRegister, ModeHMAC:
		return strconv.Itoa(int(m))
	case ModeX509:
		return "x509"
	case ModeApp:
		return "app"
	}
	return "Mode(" + strconv.Itoa(int(m)) + ")"
}

// MaxUserName bounds a user name, in bytes.
const MaxUserName = 512

// MaxBuffer is the largest receive buffer that a device may announce, in bytes: the largest MQTT packet.
const MaxBuffer = 268_435_455

// Options is what the fourth field of a user name announces.
type Options struct {
	CBOR      bool   // enc=cbor: downlink in CBOR
	Buffer    int    // buf=N: the receive buffer in bytes, 0 when not announced (then 2,048)
	Timestamp string // ts=: Unix seconds or "n:" and a nonce, as signed in authmode 3
	SUIT      bool   // fw=suit: the device understands signed manifests
}

// Login is a parsed user name.
type Login struct {
	Device  ident.Device // zero for an application
	Mode    Mode
	Options Options
	APIKey  string // id of the API key, applications only
}

// Errors of ParseUserName. A malformed serial number is reported as *ident.Error instead.
var (
	ErrUserName = errors.New("credential: user name is not ProductSN|DeviceSN|authmode")
	ErrMode     = errors.New("credential: unknown authmode, want 1, 2, 3 or x509")
	ErrOption   = errors.New("credential: bad login option")
	ErrAPIKey   = errors.New("credential: bad API key id, want 1 to 64 characters of A-Z a-z 0-9 _ @ : -")
)

// ParseUserName parses "ProductSN|DeviceSN|authmode[|options]" or "app|API key id". Options are name=value pairs
// separated by commas, semicolons or ampersands; unknown ones are ignored, for newer devices may announce more than
// this hub knows.
func ParseUserName(s string) (Login, error) {
	if len(s) > MaxUserName {
		return Login{}, ErrUserName
	}
	first, rest, ok := strings.Cut(s, "|")
	if !ok {
		return Login{}, ErrUserName
	}
	if first == "app" {
		if len(rest) > 64 || !ident.IsWord(rest) {
			return Login{}, ErrAPIKey
		}
		return Login{Mode: ModeApp, APIKey: rest}, nil
	}
	sn, rest, ok := strings.Cut(rest, "|")
	if !ok {
		return Login{}, ErrUserName
	}
	mode, options, _ := strings.Cut(rest, "|")
	l := Login{Device: ident.Device{Product: first, SN: sn}}
	if err := l.Device.Check(); err != nil {
		return Login{}, err
	}
	if l.Mode, ok = parseMode(mode); !ok {
		return Login{}, ErrMode
	}
	var err error
	if l.Options, err = parseOptions(options); err != nil {
		return Login{}, err
	}
	return l, nil
}

func parseMode(s string) (Mode, bool) {
	switch s {
	case "1":
		return ModeSecret, true
	case "2":
		return ModeRegister, true
	case "3":
		return ModeHMAC, true
	case "x509":
		return ModeX509, true
	}
	return 0, false
}

func parseOptions(s string) (Options, error) {
	var o Options
	for pair := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == ';' || r == '&' }) {
		name, value, _ := strings.Cut(pair, "=")
		switch name {
		case "enc":
			o.CBOR = value == "cbor"
		case "fw":
			o.SUIT = value == "suit"
		case "buf":
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil || n == 0 || n > MaxBuffer {
				return Options{}, fmt.Errorf("%w: buf wants 1 to %d bytes", ErrOption, MaxBuffer)
			}
			o.Buffer = int(n)
		case "ts":
			if value == "" || len(value) > 128 {
				return Options{}, fmt.Errorf("%w: ts wants Unix seconds or n:<nonce>", ErrOption)
			}
			o.Timestamp = value
		}
	}
	return o, nil
}

// UserName returns the user name that ParseUserName reads back as l.
func (l Login) UserName() string {
	if l.Mode == ModeApp {
		return "app|" + l.APIKey
	}
	s := l.Device.Product + "|" + l.Device.SN + "|" + l.Mode.String()
	if o := l.Options.String(); o != "" {
		s += "|" + o
	}
	return s
}

// String returns the options as the user name holds them, separated by commas; "" for none.
func (o Options) String() string {
	var parts []string
	if o.CBOR {
		parts = append(parts, "enc=cbor")
	}
	if o.Buffer != 0 {
		parts = append(parts, "buf="+strconv.Itoa(o.Buffer))
	}
	if o.Timestamp != "" {
		parts = append(parts, "ts="+o.Timestamp)
	}
	if o.SUIT {
		parts = append(parts, "fw=suit")
	}
	return strings.Join(parts, ",")
}
