// Package signing is who may say which firmware a device gets.
//
// There are two authorities, as in Uptane. Release keys, which are kept offline, sign manifests: k of n of them must. A
// director key, which a hub has online, signs short assignments: this device, this manifest, now. A device needs both: who
// steals a hub cannot make firmware, and who steals release keys cannot send it to a device. Which keys these are says the
// root document, signed by root keys; its version N+1 is signed by the thresholds of N and of N+1, so that a device can walk
// from the root it was shipped with to the present one, a version at a time.
//
//	root keys, offline      ── sign ──> root document: the keys and thresholds of the roles
//	release keys, offline   ── sign ──> manifest: images, for which class of device, sequence number
//	director key, on a hub  ── sign ──> assignment: device, manifest digest, the device's own nonce, until when
//
// What a device remembers (the highest sequence number of each class and module, a counter, the latest time it knows of) is a State.
// Judge decides as a pure function of it; the caller keeps the State, in a way that survives a power cut.
//
// The package promises that nothing is believed before its signatures are, that every refusal has a failure class, and
// that whatever bytes it is given cost a bounded amount of work. It has no clock and no storage, and asks nobody.
package signing

// The roles of a root document.
const (
	RoleRoot     = "root"
	RoleRelease  = "release"
	RoleDirector = "director"
)

// MaxKeys bounds the keys of a role.
const MaxKeys = 8

// roles in the order in which they are shown.
var roles = []string{RoleRoot, RoleRelease, RoleDirector}

// Roles are the names of the roles.
func Roles() []string { return append([]string(nil), roles...) }
