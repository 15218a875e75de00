// Package ident names devices: the pair of a ProductSN and a DeviceSN that every topic, login and log line carries.
//
// It checks and generates serial numbers and joins them to MQTT client ids. It promises that whatever it accepts is safe
// inside a topic level, a client id and a file name, and that what it generates is not longer than the 16 bytes that
// stock C clients reserve. Whether a device exists is the registry's business.
package ident

import (
	"crypto/rand"
	"fmt"
	"strings"
)

// Lengths of serial numbers, in bytes.
const (
	SNLength     = 16 // a ProductSN, and every number generated here
	MinDeviceLen = 4  // the shortest DeviceSN
	MaxDeviceLen = 64 // the longest DeviceSN
)

const generated = "abcdefghijklmnopqrstuvwxyz0123456789"

// Device is a device's identity. It is comparable and serves as a map key; the zero value names no device.
type Device struct {
	Product string // ProductSN
	SN      string // DeviceSN, unique within the product
}

// ClientID returns the MQTT client id, "ProductSN.DeviceSN".
func (d Device) ClientID() string { return d.Product + "." + d.SN }

// String returns "ProductSN/DeviceSN", the form for logs.
func (d Device) String() string { return d.Product + "/" + d.SN }

// IsZero reports whether d names no device.
func (d Device) IsZero() bool { return d == Device{} }

// Check returns nil when both serial numbers are well formed, else an *Error.
func (d Device) Check() error {
	if err := CheckProductSN(d.Product); err != nil {
		return err
	}
	return CheckDeviceSN(d.SN)
}

// Field says which part of an identity an Error is about.
type Field string

// The fields that an Error names.
const (
	FieldProductSN Field = "ProductSN"
	FieldDeviceSN  Field = "DeviceSN"
	FieldClientID  Field = "ClientID"
)

// Error reports a malformed serial number or client id. It holds the rule that was broken, not the input, which may be
// long or hostile.
type Error struct {
	Field  Field
	Reason string // what is expected, such as "want 16 of a-z0-9"
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("ident: bad %s: %s", e.Field, e.Reason) }

var (
	errProduct  = &Error{FieldProductSN, "want 16 characters of a-z and 0-9"}
	errDevice   = &Error{FieldDeviceSN, "want 4 to 64 characters of A-Z a-z 0-9 _ @ : -"}
	errClientID = &Error{FieldClientID, "want ProductSN.DeviceSN"}
)

// ParseClientID splits "ProductSN.DeviceSN" and checks both halves. The error is an *Error.
func ParseClientID(s string) (Device, error) {
	product, sn, ok := strings.Cut(s, ".")
	if !ok {
		return Device{}, errClientID
	}
	d := Device{Product: product, SN: sn}
	if err := d.Check(); err != nil {
		return Device{}, err
	}
	return d, nil
}

// CheckProductSN returns nil for 16 characters of a-z0-9, else an *Error. It allocates nothing.
func CheckProductSN(s string) error {
	if len(s) != SNLength {
		return errProduct
	}
	for i := range len(s) {
		if class[s[i]]&lower == 0 {
			return errProduct
		}
	}
	return nil
}

// CheckDeviceSN returns nil for 4 to 64 characters of A-Za-z0-9_@:-, else an *Error. It allocates nothing.
func CheckDeviceSN(s string) error {
	if len(s) < MinDeviceLen || len(s) > MaxDeviceLen || !IsWord(s) {
		return errDevice
	}
	return nil
}

// IsWord reports whether s is not empty and holds only A-Za-z0-9_@:-, the characters of DeviceSNs and of the levels of
// custom topics.
func IsWord(s string) bool {
	for i := range len(s) {
		if class[s[i]] == 0 {
			return false
		}
	}
	return s != ""
}

// NewProductSN returns 16 random characters of a-z0-9 from the system's random source.
func NewProductSN() string { return Random() }

// NewDeviceSN returns 16 random characters of a-z0-9 from the system's random source.
func NewDeviceSN() string { return Random() }

// Random returns 16 characters of a-z0-9 (82 bits), evenly distributed, from crypto/rand.
func Random() string {
	// Bytes of 252 and above are thrown away: 252 is the largest multiple of 36, so the rest is even.
	const even = 256 - 256%len(generated)
	out := make([]byte, 0, SNLength)
	var buf [2 * SNLength]byte
	for len(out) < SNLength {
		rand.Read(buf[:]) //nolint:errcheck // crypto/rand.Read never returns an error since Go 1.24
		for _, b := range buf {
			if int(b) < even && len(out) < SNLength {
				out = append(out, generated[int(b)%len(generated)])
			}
		}
	}
	return string(out)
}

const (
	lower = 1 << iota // a-z0-9
	word              // the rest of what a DeviceSN may hold
)

// class tells the classes of each byte; it is a constant table.
var class = func() (t [256]byte) {
	for _, c := range []byte(generated) {
		t[c] = lower | word
	}
	for c := byte('A'); c <= 'Z'; c++ {
		t[c] = word
	}
	for _, c := range []byte("_@:-") {
		t[c] = word
	}
	return t
}()
