package signing

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// Limits of a root document.
const (
	MaxRoot   = 16 << 10 // bytes, with its signatures
	maxFloors = 64
)

// Root says which keys have which role. One that a function of this package has returned without an error was signed by
// its own root keys; Next also holds it to those of its predecessor.
type Root struct {
	// Version counts from 1.
	Version uint64
	// Issued and NotAfter bound the time in which the root is good; a zero NotAfter is for ever.
	Issued, NotAfter time.Time
	Keys             map[KeyID]PublicKey
	Roles            map[string]Role
	// Floors are sequence numbers that devices take over as theirs, up or down, when they adopt the root: the way out when
	// somebody who had enough release keys has signed a manifest with a number that nothing can follow.
	Floors []Floor

	signed Document // what it was read from
}

// Role is the keys that have one, and how many of them must sign.
type Role struct {
	Threshold int
	Keys      []KeyID // in ascending order
}

// Floor is the lowest sequence number that is still installed for a module of a class of devices.
type Floor struct {
	Class    manifest.UUID
	Module   string
	Sequence uint64
	// Manifest is the digest of the manifest with that number; zero if it may be any.
	Manifest manifest.Digest
}

func (f Floor) compare(g Floor) int {
	return cmp.Or(slices.Compare(f.Class[:], g.Class[:]), cmp.Compare(f.Module, g.Module))
}

// ErrInvalid is returned for documents that are well-formed and say what they may not.
var ErrInvalid = errors.New("invalid")

func refuse(what string, err error) error { return failure.New(failure.Signature, "%s: %w", what, err) }

func invalid(what, format string, args ...any) error {
	return refuse(what, fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...)))
}

// Check tells what is wrong with a root document, whoever has signed it.
func (r *Root) Check() error {
	switch {
	case r.Version == 0:
		return invalid("root", "version 0; the first is 1")
	case r.Issued.Unix() <= 0 || !r.NotAfter.IsZero() && !r.NotAfter.After(r.Issued):
		return invalid("root", "issued %v, not after %v", r.Issued, r.NotAfter)
	case len(r.Roles) != len(roles):
		return invalid("root", "%d roles, want %q", len(r.Roles), roles)
	case len(r.Floors) > maxFloors:
		return invalid("root", "%d floors, at most %d", len(r.Floors), maxFloors)
	}
	used := map[KeyID]string{}
	for _, name := range roles {
		if err := r.checkRole(name, used); err != nil {
			return err
		}
	}
	for id, k := range r.Keys {
		if id != k.ID() {
			return invalid("root", "key %v is listed as %v", k.ID(), id)
		}
		if used[id] == "" {
			return invalid("root", "key %v has no role", id)
		}
	}
	return r.checkFloors()
}

func (r *Root) checkRole(name string, used map[KeyID]string) error {
	role := r.Roles[name]
	switch {
	case len(role.Keys) == 0 || len(role.Keys) > MaxKeys:
		return invalid("root", "role %s has %d keys, want 1 to %d", name, len(role.Keys), MaxKeys)
	case role.Threshold < 1 || role.Threshold > len(role.Keys):
		return invalid("root", "role %s wants %d of %d keys", name, role.Threshold, len(role.Keys))
	case name == RoleDirector && role.Threshold != 1:
		return invalid("root", "role %s wants %d keys; an assignment has one signature", name, role.Threshold)
	}
	for i, id := range role.Keys {
		if _, ok := r.Keys[id]; !ok {
			return invalid("root", "role %s has key %v, which is not listed", name, id)
		}
		if used[id] != "" {
			return invalid("root", "key %v has the roles %s and %s; a key has one", id, used[id], name)
		}
		if i > 0 && slices.Compare(role.Keys[i-1][:], id[:]) >= 0 {
			return invalid("root", "the keys of role %s are not in order", name)
		}
		used[id] = name
	}
	return nil
}

func (r *Root) checkFloors() error {
	for i, f := range r.Floors {
		if f.Sequence == 0 || f.Class.IsZero() || (f.Manifest != manifest.Digest{}) {
			return invalid("root", "floor %d has no class or sequence number, or a digest", i)
		}
		if err := manifest.CheckModule(f.Module); err != nil {
			return invalid("root", "floor %d: %w", i, err)
		}
		if i > 0 && r.Floors[i-1].compare(f) >= 0 {
			return invalid("root", "the floors are not in order")
		}
	}
	return nil
}

// SetRole gives a role its keys, and takes them from whoever had it before.
func (r *Root) SetRole(name string, threshold int, keys ...PublicKey) {
	if r.Keys == nil {
		r.Keys, r.Roles = map[KeyID]PublicKey{}, map[string]Role{}
	}
	for _, id := range r.Roles[name].Keys {
		delete(r.Keys, id)
	}
	role := Role{Threshold: threshold}
	for _, k := range keys {
		r.Keys[k.ID()] = k
		role.Keys = append(role.Keys, k.ID())
	}
	slices.SortFunc(role.Keys, func(a, b KeyID) int { return slices.Compare(a[:], b[:]) })
	role.Keys = slices.Compact(role.Keys)
	r.Roles[name] = role
}

// SetFloor adds a floor, in place of one for the same class and module.
func (r *Root) SetFloor(f Floor) { r.Floors = setFloor(r.Floors, f) }

// setFloor puts a floor into a list in order.
func setFloor(list []Floor, f Floor) []Floor {
	i, ok := slices.BinarySearchFunc(list, f, Floor.compare)
	if ok {
		list[i] = f
		return list
	}
	return slices.Insert(list, i, f)
}

// RoleOf is the role of a key, "" if it has none.
func (r *Root) RoleOf(id KeyID) string {
	for _, name := range roles {
		if slices.Contains(r.Roles[name].Keys, id) {
			return name
		}
	}
	return ""
}

// Successor is a root with the next version and all else as it is, to be changed and signed. Floors are not taken over:
// they have had their effect.
func (r *Root) Successor(issued time.Time) *Root {
	next := &Root{Version: r.Version + 1, Issued: issued, NotAfter: r.NotAfter, Keys: maps.Clone(r.Keys), Roles: maps.Clone(r.Roles)}
	return next
}

// wireRoot is the signed part of a root document.
type wireRoot struct {
	Version  uint64                  `cbor:"1,keyasint"`
	NotAfter int64                   `cbor:"2,keyasint"`
	Keys     map[canon.Bytes]wireKey `cbor:"3,keyasint"`
	Roles    map[string]wireRole     `cbor:"4,keyasint"`
	Floors   []wireFloor             `cbor:"5,keyasint,omitempty"`
	Issued   int64                   `cbor:"6,keyasint"`
}

type wireKey struct {
	Algorithm int    `cbor:"1,keyasint"`
	Key       []byte `cbor:"2,keyasint"`
}

type wireRole struct {
	Threshold int           `cbor:"1,keyasint"`
	Keys      []canon.Bytes `cbor:"2,keyasint"`
}

type wireFloor struct {
	_        struct{} `cbor:",toarray"`
	Class    []byte
	Module   string
	Sequence uint64
}

// payload is the part of the root that is signed.
func (r *Root) payload() ([]byte, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	w := wireRoot{Version: r.Version, Issued: r.Issued.Unix(), Keys: map[canon.Bytes]wireKey{}, Roles: map[string]wireRole{}}
	if !r.NotAfter.IsZero() {
		w.NotAfter = r.NotAfter.Unix()
	}
	for id, k := range r.Keys {
		w.Keys[canon.Bytes(id[:])] = wireKey{edDSA, k[:]}
	}
	for name, role := range r.Roles {
		keys := make([]canon.Bytes, len(role.Keys))
		for i, id := range role.Keys {
			keys[i] = canon.Bytes(id[:])
		}
		w.Roles[name] = wireRole{role.Threshold, keys}
	}
	for _, f := range r.Floors {
		w.Floors = append(w.Floors, wireFloor{Class: f.Class[:], Module: f.Module, Sequence: f.Sequence})
	}
	return canon.Marshal(w)
}

func readRoot(b []byte) (*Root, error) {
	var w wireRoot
	if err := canon.Unmarshal(b, MaxRoot, &w); err != nil {
		return nil, refuse("root", err)
	}
	r := &Root{Version: w.Version, Issued: time.Unix(w.Issued, 0).UTC(), Keys: map[KeyID]PublicKey{}, Roles: map[string]Role{}}
	if w.NotAfter < 0 || w.Issued > maxTime || w.NotAfter > maxTime {
		return nil, invalid("root", "a time that is none: issued %d, not after %d", w.Issued, w.NotAfter)
	}
	if w.NotAfter != 0 {
		r.NotAfter = time.Unix(w.NotAfter, 0).UTC()
	}
	for id, k := range w.Keys {
		if len(id) != len(KeyID{}) || len(k.Key) != len(PublicKey{}) || k.Algorithm != edDSA {
			return nil, invalid("root", "key %x of algorithm %d with %d bytes; want Ed25519 (%d)", id, k.Algorithm, len(k.Key), edDSA)
		}
		r.Keys[KeyID([]byte(id))] = PublicKey(k.Key)
	}
	for name, role := range w.Roles {
		ids := make([]KeyID, len(role.Keys))
		for i, id := range role.Keys {
			if len(id) != len(KeyID{}) {
				return nil, invalid("root", "role %.40s has a key id of %d bytes", name, len(id))
			}
			ids[i] = KeyID([]byte(id))
		}
		r.Roles[name] = Role{role.Threshold, ids}
	}
	for _, f := range w.Floors {
		if len(f.Class) != len(manifest.UUID{}) {
			return nil, invalid("root", "a floor's class is no UUID")
		}
		r.Floors = append(r.Floors, Floor{Class: manifest.UUID(f.Class), Module: f.Module, Sequence: f.Sequence})
	}
	return r, r.Check()
}

// maxTime is the latest time that a document may name: the end of the year 9999.
const maxTime = 253402300799

// Expired tells whether the root is no longer good at a time.
func (r *Root) Expired(now time.Time) bool { return !r.NotAfter.IsZero() && now.After(r.NotAfter) }
