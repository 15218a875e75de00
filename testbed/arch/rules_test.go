package arch

import "strings"

// floor is a part of the tree and what of the module it may import. A package
// belongs to the first floor whose prefix fits it; a package may always import
// its own floor's other packages unless alone is set.
type floor struct {
	prefix string
	may    []string
	alone  bool   // packages of this floor do not import each other
	why    string // told when the rule is broken
}

// floors lists the whole house, most specific prefix first. "" in may means
// nothing of the module.
var floors = []floor{
	{"protocol", nil, false, "protocol is what both sides say and stands alone"},
	{"firmware", nil, false, "firmware is what gets installed and stands alone"},
	{"device-sdk", []string{"protocol", "firmware"}, false, "the SDK is linked into devices and knows only the wire"},
	{"edge-agent", []string{"protocol", "firmware", "device-sdk"}, false, "the agent meets the hub only over the wire"},

	{"cloud/hub", []string{"cloud", "protocol", "firmware"}, false, "hub wires the cloud"},
	{"cloud/apitype", nil, true, "generated types stand alone"},
	{"cloud/apiclient", []string{"cloud/apitype"}, true, "the client is linked into other programs"},

	// doors
	{"cloud/api", []string{"cloud", "protocol", "firmware"}, true, ""},
	{"cloud/console", []string{"cloud", "protocol", "firmware"}, true, ""},
	{"cloud/broker", append(ground, paths...), true, "a door calls paths, never the domain"},
	{"cloud/ingress", append(ground, paths...), true, "a door calls paths, never the domain"},

	// sinks import the rules' contract and one driver each
	{"cloud/rules/sink", append(ground, "cloud/rules"), true, "a sink knows its contract and its driver"},

	// paths: they declare the handlers that they call
	{"cloud/uplink", ground, true, "paths do not import the domain"},
	{"cloud/downlink", ground, true, "paths do not import the domain"},
	{"cloud/presence", append(ground, "cloud/uplink", "cloud/downlink"), true, "paths do not import the domain"},
	{"cloud/auth", ground, false, "paths do not import the domain"},
	{"cloud/provision", append(ground, paths...), true, "paths do not import the domain"},
	{"cloud/retained", append(ground, "cloud/uplink"), true, "paths do not import the domain"},
	{"cloud/application", append(ground, paths...), true, "paths do not import the domain"},

	// domain
	{"cloud/shadow", append(ground, "cloud/uplink"), true, "domain packages do not import each other"},
	{"cloud/thingmodel", append(ground, "cloud/uplink"), true, "domain packages do not import each other"},
	{"cloud/rules", append(ground, "cloud/uplink"), true, "domain packages do not import each other"},
	{"cloud/ota", append(ground, "cloud/uplink"), true, "domain packages do not import each other"},
	{"cloud/upload", append(ground, "cloud/uplink"), true, "domain packages do not import each other"},
	{"cloud/messagelog", append(ground, "cloud/uplink"), true, "domain packages do not import each other"},
	{"cloud/monitor", []string{"protocol", "cloud/store", "cloud/bus"}, true, "the feed is fed, it asks nobody"},

	// registry and account, above the contracts only
	{"cloud/registry", []string{"protocol", "cloud/store", "cloud/bus"}, true, "the registry knows only the store"},
	{"cloud/account/oidc", []string{"cloud/account"}, true, "an identity provider makes claims, accounts judge them"},
	{"cloud/account", []string{"protocol", "cloud/store", "cloud/bus"}, true, "accounts know only the store"},
	{"cloud/fleet", append(ground, "cloud/job"), true, "bulk work knows jobs and the registry"},
	{"cloud/idempotency", []string{"cloud/store"}, true, "kept answers know only the store"},
	{"cloud/job", []string{"protocol", "cloud/store", "cloud/bus"}, true, "jobs know only the store; hub hands the kinds in"},

	// contracts and their adapters; storetest is test code, which may start servers
	{"cloud/store/storetest", []string{"cloud/store", "cloud/keyring", "testbed/harness"}, false, ""},
	{"cloud/store", []string{"protocol", "cloud/keyring"}, false, "the ground knows nobody above it"},
	{"cloud/keyring", nil, true, "the ground knows nobody above it"},
	{"cloud/bus", nil, false, "the ground knows nobody above it"},
	{"cloud/blob", nil, false, "the ground knows nobody above it"},

	{"cmd/hub", []string{"cloud/hub"}, true, "main is flags, config, signal, Run, exit code"},
	{"cmd/agent", []string{"edge-agent"}, true, "main is flags, config, signal, Run, exit code"},
	{"cmd/hawserctl", []string{"cloud/apiclient", "cloud/apitype", "protocol", "firmware"}, true, "the CLI is a client of the API"},
	{"testbed", []string{"protocol", "firmware", "device-sdk", "edge-agent", "cloud", "cmd"}, false, ""},
}

// ground is what every path and domain package may stand on.
var ground = []string{"protocol", "firmware", "cloud/keyring", "cloud/store", "cloud/bus", "cloud/blob", "cloud/registry", "cloud/account", "cloud/monitor"}

// paths are the rooms that doors call.
var paths = []string{"cloud/uplink", "cloud/downlink", "cloud/presence", "cloud/auth", "cloud/provision", "cloud/application", "cloud/retained"}

// drivers lists who may import a third-party driver, one package for each role
// that it plays. A driver that is not listed may be imported anywhere.
var drivers = map[string][]string{
	"modernc.org/sqlite":                  {"cloud/store"},
	"github.com/jackc/pgx":                {"cloud/store"},
	"github.com/pressly/goose":            {"cloud/store"},
	"github.com/nats-io/nats-server":      {"cloud/bus"},
	"github.com/nats-io/nats.go":          {"cloud/bus"},
	"github.com/eclipse/paho.mqtt.golang": {"device-sdk/link"},
	"github.com/eclipse/paho.golang":      {}, // the testbed plays clients with it
	"go.etcd.io/bbolt":                    {"edge-agent/buffer"},
	"github.com/valyala/fastjson":         {"protocol/codec"},
	"github.com/fxamacker/cbor":           {"protocol/codec"},
	"github.com/gorilla/websocket":        {"protocol/mqtt/server"},
	"github.com/minio/minio-go":           {"cloud/blob/s3blob"},
	"github.com/coreos/go-oidc":           {"cloud/account/oidc"},
	"golang.org/x/oauth2":                 {"cloud/account/oidc"},
	"github.com/pquerna/otp":              {"cloud/account"},
	"golang.org/x/crypto/argon2":          {"cloud/account"},
	"github.com/spf13/cobra":              {"cmd/hub", "cmd/hawserctl"},
	"github.com/mdp/qrterminal":           {"cmd/hawserctl"},
}

// forbiddenInAgent are modules that must not reach the agent's binary, where
// every 100 KiB is flash on somebody's gateway.
var forbiddenInAgent = []string{
	"github.com/spf13/cobra", "github.com/prometheus/", "github.com/minio/", "github.com/itchyny/gojq",
	"modernc.org/sqlite", "github.com/jackc/pgx", "github.com/nats-io/", modulePath + "/cloud/",
}

func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}
