// Package failure names what can go wrong with an update: the classes in which agents report a failure and by which a hub
// decides whether to try again. An error gets its class where the reason is known (Of finds it through any wrapping), so
// that nobody decides by an error's text.
//
// It promises that the names do not change: they are on the wire and in stores.
package failure

import (
	"errors"
	"fmt"
)

// Class is why an update did not come about.
type Class string

// The classes. Network and Server are worth another try at once; Signature, Rollback and WrongDevice never are.
const (
	Network      Class = "NET"           // no connection, or it broke
	Server       Class = "SRV"           // the server answered with an error of its own
	Auth         Class = "AUTH"          // the server does not know the device, or the URL has ended
	Signature    Class = "SIG"           // what was signed is malformed, or not signed by those who may
	Rollback     Class = "ROLLBACK"      // older than what is there, or another with the same number
	Stale        Class = "STALE"         // too old, meant for another time, or said before
	WrongDevice  Class = "WRONG_DEVICE"  // for another device, vendor, class or module
	Dependency   Class = "DEP"           // something else has to be installed first, or a part is missing
	Space        Class = "SPACE"         // no room
	Power        Class = "POWER"         // not enough power
	Window       Class = "WINDOW"        // the window has not come
	Consent      Class = "CONSENT"       // nobody has agreed
	Hash         Class = "HASH"          // the bytes are not those that were signed
	FlashIO      Class = "FLASH_IO"      // the storage failed
	BootFailed   Class = "BOOT_FAILED"   // it did not boot
	HealthFailed Class = "HEALTH_FAILED" // it booted and was not well
	Budget       Class = "BUDGET"        // more bytes than it was allowed
	Cancelled    Class = "CANCELLED"     // somebody has called it off
	Unclassified Class = ""              // an error without a class
)

// Classes are all classes, in the order of their declaration.
func Classes() []Class {
	return []Class{Network, Server, Auth, Signature, Rollback, Stale, WrongDevice, Dependency, Space, Power, Window, Consent, Hash,
		FlashIO, BootFailed, HealthFailed, Budget, Cancelled}
}

// Error is an error with its class. Its text is that of the reason, without the class.
type Error struct {
	Class  Class
	Reason error
}

func (e *Error) Error() string { return e.Reason.Error() }

func (e *Error) Unwrap() error { return e.Reason }

// New returns an error of a class; format is that of fmt.Errorf.
func New(class Class, format string, args ...any) error {
	return &Error{class, fmt.Errorf(format, args...)}
}

// Of returns the class of an error: the outermost that it or anything it wraps has, Unclassified if none has.
func Of(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Unclassified
}
