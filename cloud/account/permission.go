package account

import (
	"math/bits"
	"slices"
	"strings"
)

// Permission is a set of things that a caller may do, one bit each. A check is one AND, which is why roles are sets and
// not ranks: a request costs the same whatever roles there are.
type Permission uint64

// The permissions. Read is to see, write to create, change and delete. New ones go to the end: sets are stored by name,
// but a running cluster of two versions tells them by bit.
const (
	ProductRead Permission = 1 << iota
	ProductWrite
	DeviceRead
	DeviceWrite
	DeviceSecret  // see the secrets of products and devices
	DeviceControl // commands, property set, publish, shadow write
	GroupRead
	GroupWrite
	RuleRead
	RuleWrite
	KeyRead
	KeyWrite
	UserRead
	UserWrite
	ProjectRead
	ProjectWrite
	AuditRead
	AuditWrite
	CARead
	CAWrite
	JobRead
	JobWrite
	HubRead
	HubWrite
	FirmwareRead
	FirmwareWrite // firmwares, and tasks that bring them to devices
	AlarmRead
	AlarmHandle // acknowledge and clear alarms
	AlarmWrite  // alarm rules and channels
	permissionEnd
)

// All is every permission.
const All = permissionEnd - 1

// permissionNames are the names by bit.
var permissionNames = [...]string{"product.read", "product.write", "device.read", "device.write", "device.secret", "device.control",
	"group.read", "group.write", "rule.read", "rule.write", "key.read", "key.write", "user.read", "user.write", "project.read",
	"project.write", "audit.read", "audit.write", "ca.read", "ca.write", "job.read", "job.write", "hub.read", "hub.write", "firmware.read", "firmware.write",
	"alarm.read", "alarm.handle", "alarm.write"}

// Has tells whether p holds everything that need does.
func (p Permission) Has(need Permission) bool { return p&need == need }

// Names are the names of what p holds, in the order of the bits.
func (p Permission) Names() []string {
	names := make([]string, 0, bits.OnesCount64(uint64(p&All)))
	for i, name := range permissionNames {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String is the names with commas between.
func (p Permission) String() string { return strings.Join(p.Names(), ",") }

// ParsePermission reads one name.
func ParsePermission(name string) (Permission, bool) {
	i := slices.Index(permissionNames[:], name)
	if i < 0 {
		return 0, false
	}
	return 1 << i, true
}

// Role is a set of permissions with a name.
type Role string

// The roles, each with the permissions of those below it.
const (
	RoleOwner    Role = "owner"    // everything
	RoleAdmin    Role = "admin"    // … and users, API keys, certificates and the audit log
	RoleOperator Role = "operator" // … and products, rules and secrets
	RoleEngineer Role = "engineer" // … and devices: creates, changes and controls them
	RoleViewer   Role = "viewer"   // reads, and sees no secrets
)

const (
	viewer   = ProductRead | DeviceRead | GroupRead | RuleRead | ProjectRead | CARead | JobRead | HubRead | FirmwareRead | AlarmRead
	engineer = viewer | DeviceWrite | DeviceControl | GroupWrite | JobWrite | FirmwareWrite | AlarmHandle
	operator = engineer | ProductWrite | RuleWrite | DeviceSecret | AlarmWrite
	admin    = operator | KeyRead | KeyWrite | UserRead | UserWrite | AuditRead | CAWrite
)

var roles = map[Role]Permission{RoleViewer: viewer, RoleEngineer: engineer, RoleOperator: operator, RoleAdmin: admin, RoleOwner: All}

// Roles are all roles, the weakest first.
func Roles() []Role { return []Role{RoleViewer, RoleEngineer, RoleOperator, RoleAdmin, RoleOwner} }

// Valid tells whether r is one of the roles.
func (r Role) Valid() bool { return roles[r] != 0 }

// Permissions is what r may do; nothing for an unknown role.
func (r Role) Permissions() Permission { return roles[r] }

// Covers tells whether r has the permissions of other.
func (r Role) Covers(other Role) bool { return other.Valid() && roles[r].Has(roles[other]) }
