package topic

import "strconv"

// Kind says what a topic is for.
type Kind uint8

// The kinds. Each name is the system topic's path in camel case; "RuleOnly" ones never reach a device.
const (
	Invalid Kind = iota // the zero Kind, of no topic

	Custom    // /P/D/…, a product's own topics
	Broadcast // /P/$broadcast/…, to all devices of a product

	DeviceStatus
	ShadowUpstream
	ShadowDownstream
	ShadowGet
	ShadowGetReply
	ShadowDocument
	TemplateGet
	TemplateGetReply
	PropertyPost
	PropertyPostReply
	PropertySet
	PropertySetReply
	PropertyRestore
	PropertyRestoreReply
	DesiredGet
	DesiredGetReply
	DesiredDelete
	DesiredDeleteReply
	PropertyDocument
	EventPost
	EventPostReply
	Command
	CommandReply // the only system topic with a tail, the command's RequestID
	OTAUpstream
	OTADownstream
	Password
	PasswordReply
	SubdevRegister
	SubdevRegisterReply
	TopoAdd
	TopoAddReply
	TopoDelete
	TopoDeleteReply
	TopoGet
	TopoGetReply
	TopoNotifyAdd
	TopoNotifyDelete
	TopoFound
	TopoFoundReply
	SubdevLogin
	SubdevLoginReply
	SubdevLogout
	SubdevLogoutReply
	SubdevEnable
	SubdevDisable
	SubdevDelete
	UploadUpstream
	UploadDownstream
	UploadDocument
	NTPRequest
	NTPResponse
	LogPost
	AgentUp
	AgentDown
	OTAEvent
	AgentEvent

	kinds // their number
)

// Direction says what a device may do with a topic.
type Direction uint8

// The directions, as seen from the device.
const (
	RuleOnly Direction = 0         // neither: only rules see it
	Pub      Direction = 1         // publish
	Sub      Direction = 2         // subscribe
	PubSub   Direction = Pub | Sub // both
)

// String returns "pub", "sub", "pubsub" or "rule".
func (d Direction) String() string {
	switch d {
	case RuleOnly:
		return "rule"
	case Pub:
		return "pub"
	case Sub:
		return "sub"
	case PubSub:
		return "pubsub"
	}
	return "Direction(" + strconv.Itoa(int(d)) + ")"
}

// ParseDirection reads what String writes; ok is false for anything else.
func ParseDirection(s string) (d Direction, ok bool) {
	for d := RuleOnly; d <= PubSub; d++ {
		if d.String() == s {
			return d, true
		}
	}
	return 0, false
}

// system is the table of device-protocol section 3: the path below /$system/P/D/ and the direction.
var system = [kinds]struct {
	path string
	dir  Direction
}{
	DeviceStatus:         {"device/status", Sub},
	ShadowUpstream:       {"shadow/upstream", Pub},
	ShadowDownstream:     {"shadow/downstream", Sub},
	ShadowGet:            {"shadow/get", Pub},
	ShadowGetReply:       {"shadow/get_reply", Sub},
	ShadowDocument:       {"shadow/document", RuleOnly},
	TemplateGet:          {"tmodel/template/get", Pub},
	TemplateGetReply:     {"tmodel/template/get_reply", Sub},
	PropertyPost:         {"tmodel/property/post", Pub},
	PropertyPostReply:    {"tmodel/property/post_reply", Sub},
	PropertySet:          {"tmodel/property/set", Sub},
	PropertySetReply:     {"tmodel/property/set_reply", Pub},
	PropertyRestore:      {"tmodel/property/restore", Pub},
	PropertyRestoreReply: {"tmodel/property/restore_reply", Sub},
	DesiredGet:           {"tmodel/property/desired/get", Pub},
	DesiredGetReply:      {"tmodel/property/desired/get_reply", Sub},
	DesiredDelete:        {"tmodel/property/desired/delete", Pub},
	DesiredDeleteReply:   {"tmodel/property/desired/delete_reply", Sub},
	PropertyDocument:     {"tmodel/property/document", RuleOnly},
	EventPost:            {"tmodel/event/post", Pub},
	EventPostReply:       {"tmodel/event/post_reply", Sub},
	Command:              {"tmodel/command", Sub},
	CommandReply:         {"tmodel/command_reply", Pub},
	OTAUpstream:          {"ota/upstream", Pub},
	OTADownstream:        {"ota/downstream", Sub},
	Password:             {"password", Pub},
	PasswordReply:        {"password_reply", Sub},
	SubdevRegister:       {"subdev/register", Pub},
	SubdevRegisterReply:  {"subdev/register_reply", Sub},
	TopoAdd:              {"subdev/topo/add", Pub},
	TopoAddReply:         {"subdev/topo/add_reply", Sub},
	TopoDelete:           {"subdev/topo/delete", Pub},
	TopoDeleteReply:      {"subdev/topo/delete_reply", Sub},
	TopoGet:              {"subdev/topo/get", Pub},
	TopoGetReply:         {"subdev/topo/get_reply", Sub},
	TopoNotifyAdd:        {"subdev/topo/notify/add", Sub},
	TopoNotifyDelete:     {"subdev/topo/notify/delete", Sub},
	TopoFound:            {"subdev/topo/found", Pub},
	TopoFoundReply:       {"subdev/topo/found_reply", Sub},
	SubdevLogin:          {"subdev/login", Pub},
	SubdevLoginReply:     {"subdev/login_reply", Sub},
	SubdevLogout:         {"subdev/logout", Pub},
	SubdevLogoutReply:    {"subdev/logout_reply", Sub},
	SubdevEnable:         {"subdev/enable", Sub},
	SubdevDisable:        {"subdev/disable", Sub},
	SubdevDelete:         {"subdev/delete", Sub},
	UploadUpstream:       {"upload/upstream", Pub},
	UploadDownstream:     {"upload/downstream", Sub},
	UploadDocument:       {"upload/document", RuleOnly},
	NTPRequest:           {"ntp/request", Pub},
	NTPResponse:          {"ntp/response", Sub},
	LogPost:              {"log/post", Pub},
	AgentUp:              {"agent/up", Pub},
	AgentDown:            {"agent/down", Sub},
	OTAEvent:             {"ota/event", RuleOnly},
	AgentEvent:           {"agent/event", RuleOnly},
}

// byPath is the inverse of system.
var byPath = func() map[string]Kind {
	m := make(map[string]Kind, kinds)
	for k := DeviceStatus; k < kinds; k++ {
		m[system[k].path] = k
	}
	return m
}()

// Kinds calls yield with every system kind, in the order of the table, until it returns false.
func Kinds(yield func(Kind) bool) {
	for k := DeviceStatus; k < kinds; k++ {
		if !yield(k) {
			return
		}
	}
}

// IsSystem reports whether topics of this kind are under /$system.
func (k Kind) IsSystem() bool { return k >= DeviceStatus && k < kinds }

// GatewayOnly reports whether only gateways may use topics of this kind (the subdev/ tree).
func (k Kind) GatewayOnly() bool { return k >= SubdevRegister && k <= SubdevDelete }

// Direction returns what a device may do with a system or broadcast topic. A custom topic's direction is its template's;
// for Custom it is PubSub, the most that a template may allow.
func (k Kind) Direction() Direction {
	switch {
	case k == Custom:
		return PubSub
	case k == Broadcast:
		return Sub
	case k.IsSystem():
		return system[k].dir
	}
	return RuleOnly
}

// String returns the path below /$system/P/D/, such as "shadow/upstream", or "custom", "broadcast", "invalid".
func (k Kind) String() string {
	switch {
	case k == Custom:
		return "custom"
	case k == Broadcast:
		return "broadcast"
	case k.IsSystem():
		return system[k].path
	case k == Invalid:
		return "invalid"
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Reply returns the kind that answers k, or Invalid when k is not answered.
func (k Kind) Reply() Kind {
	switch k {
	case ShadowUpstream, ShadowGet, TemplateGet, PropertyPost, PropertySet, PropertyRestore, DesiredGet, DesiredDelete,
		EventPost, Command, Password, SubdevRegister, TopoAdd, TopoDelete, TopoGet, TopoFound, SubdevLogin, SubdevLogout,
		UploadUpstream, NTPRequest:
		return k + 1
	}
	return Invalid
}
