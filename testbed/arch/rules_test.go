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
	{"cloud/console", nil, true, "the console is files; what they show goes through the API"},
	{"cloud/api", []string{"cloud", "protocol", "firmware"}, true, ""},
	{"cloud/actionapi", []string{"cloud", "protocol", "firmware"}, true, ""},
	{"cloud/console", []string{"cloud", "protocol", "firmware"}, true, ""},
	{"cloud/broker", append(ground, paths...), true, "a door calls paths, never the domain"},
	{"cloud/ingress", append(ground, paths...), true, "a door calls paths, never the domain"},

	// sinks import the rules' contract and one driver each
	{"cloud/rules/actionconfig", nil, true, "a part of a configuration stands alone"},
	{"cloud/rules/clienttls", nil, true, "a part of a configuration stands alone"},
	{"cloud/rules/httpconn", append(ground, "cloud/rules"), true, "what connectors share knows the rules' contract"},
	{"cloud/rules/sqlrow", append(ground, "cloud/rules", "cloud/rules/clienttls"), true, "what SQL sinks share knows the rules' contract"},
	{"cloud/rules/sink", append(ground, "cloud/rules"), true, "a sink knows its contract and its driver"},

	// paths: they declare the handlers that they call
	{"cloud/uplink", ground, true, "paths do not import the domain"},
	{"cloud/downlink", ground, true, "paths do not import the domain"},
	{"cloud/presence", append(ground, "cloud/uplink", "cloud/downlink"), true, "paths do not import the domain"},
	{"cloud/auth", ground, false, "paths do not import the domain"},
	{"cloud/clock", append(ground, paths...), true, "paths do not import the domain"},
	{"cloud/provision", append(ground, paths...), true, "paths do not import the domain"},
	{"cloud/retained", append(ground, "cloud/uplink"), true, "paths do not import the domain"},
	{"cloud/application", append(ground, paths...), true, "paths do not import the domain"},
	{"cloud/agentlink", append(ground, paths...), true, "paths do not import the domain"},

	// domain
	{"cloud/shadow", append(ground, "cloud/uplink"), true, "domain packages do not import each other"},
	{"cloud/thingmodel", append(ground, "cloud/uplink"), true, "domain packages do not import each other"},
	{"cloud/rules", append(ground, "cloud/uplink"), true, "domain packages do not import each other"},
	{"cloud/ota/artifact", ground, true, "the repository keeps firmware, it does not say who gets it"},
	{"cloud/ota", append(ground, "cloud/uplink", "cloud/ota/artifact"), true, "domain packages do not import each other"},
	{"cloud/upload", append(ground, "cloud/uplink"), true, "domain packages do not import each other"},
	{"cloud/agentconf", ground, true, "domain packages do not import each other"},
	{"cloud/messagelog", append(ground, "cloud/uplink"), true, "domain packages do not import each other"},
	{"cloud/script/wire", nil, true, "hub and workers say no more to each other than this"},
	{"cloud/script/worker", []string{"cloud/script/wire"}, true, "a worker holds other people's code and nothing of the hub's"},
	{"cloud/script/pool", []string{"cloud/script/wire", "cloud/script/worker"}, true, "the pool knows workers, not what scripts are for"},
	{"cloud/script", append(ground, "cloud/uplink", "cloud/script"), false, "domain packages do not import each other"},
	{"cloud/alarm/notify", append(ground, "cloud/alarm", "cloud/rules", "cloud/rules/httpconn"), true, "ways to people know the alarms' contract and the guarded way out"},
	{"cloud/alarm", append(ground, "cloud/uplink"), true, "domain packages do not import each other"},
	{"cloud/monitor/meter", nil, true, "counting knows nobody"},
	{"cloud/monitor/metric", []string{"cloud/store", "cloud/bus", "cloud/monitor/meter"}, true, "metrics are fed, they ask nobody"},
	{"cloud/monitor", []string{"protocol", "cloud/store", "cloud/bus"}, true, "the feed is fed, it asks nobody"},

	// registry and account, above the contracts only
	{"cloud/registry/filter/listing", []string{"cloud/store", "cloud/registry"}, true, "how lists are asked for stands on the registry's filter alone"},
	{"cloud/registry/catalog", []string{"cloud/store", "cloud/registry"}, true, "searches read what the registry keeps"},
	{"cloud/registry", []string{"protocol", "cloud/store", "cloud/bus"}, true, "the registry knows only the store"},
	{"cloud/account/oidc", []string{"cloud/account"}, true, "an identity provider makes claims, accounts judge them"},
	{"cloud/account", []string{"protocol", "cloud/store", "cloud/bus", "cloud/throttle", "cloud/registry/filter/listing"}, true, "accounts know only the store, and how lists are asked for"},
	{"cloud/fleet", append(ground, "cloud/job"), true, "bulk work knows jobs and the registry"},
	{"cloud/idempotency", []string{"cloud/store"}, true, "kept answers know only the store"},
	{"cloud/job", []string{"protocol", "cloud/store", "cloud/bus"}, true, "jobs know only the store; hub hands the kinds in"},

	// contracts and their adapters; storetest is test code, which may start servers
	{"cloud/store/storetest", []string{"cloud/store", "cloud/keyring", "testbed/harness"}, false, ""},
	{"cloud/store", []string{"protocol", "cloud/keyring"}, false, "the ground knows nobody above it"},
	{"cloud/keyring", nil, true, "the ground knows nobody above it"},
	{"cloud/allowance", nil, true, "the ground knows nobody above it"},
	{"cloud/throttle", nil, true, "the ground knows nobody above it"},
	{"cloud/shortlink", []string{"cloud/keyring"}, true, "the ground knows nobody above it"},
	{"cloud/bus", nil, false, "the ground knows nobody above it"},
	{"cloud/blob", nil, false, "the ground knows nobody above it"},
	{"cloud/segment", nil, false, "the ground knows nobody above it"},

	{"cmd/hub", []string{"cloud/hub"}, true, "main is flags, config, signal, Run, exit code"},
	{"cmd/agent", []string{"edge-agent", "protocol/ident"}, true, "main is flags, config, signal, Run, exit code"},
	{"cmd/hawserctl", []string{"cloud/apiclient", "cloud/apitype", "protocol", "firmware"}, true, "the CLI is a client of the API"},
	{"testbed", []string{"protocol", "firmware", "device-sdk", "edge-agent", "cloud", "cmd"}, false, ""},
}

// ground is what every path and domain package may stand on.
var ground = []string{"protocol", "firmware", "cloud/keyring", "cloud/throttle", "cloud/shortlink", "cloud/store", "cloud/bus", "cloud/blob", "cloud/segment", "cloud/registry", "cloud/account", "cloud/monitor"}

// paths are the rooms that doors call.
var paths = []string{"cloud/uplink", "cloud/downlink", "cloud/presence", "cloud/auth", "cloud/provision", "cloud/application", "cloud/retained", "cloud/clock", "cloud/agentlink"}

// drivers lists who may import a third-party driver, one package for each role
// that it plays. A driver that is not listed may be imported anywhere.
var drivers = map[string][]string{
	"modernc.org/sqlite":                  {"cloud/store"},
	"github.com/jackc/pgx":                {"cloud/store", "cloud/rules/sink/pgsink"},
	"github.com/go-sql-driver/mysql":      {"cloud/rules/sink/mysqlsink"},
	"github.com/pressly/goose":            {"cloud/store"},
	"github.com/nats-io/nats-server":      {"cloud/bus"},
	"github.com/nats-io/nats.go":          {"cloud/bus", "cloud/rules/sink/natssink"}, // our own bus; a user's
	"github.com/nats-io/nkeys":            {"cloud/rules/sink/natssink"},
	"github.com/eclipse/paho.mqtt.golang": {"device-sdk/link"},
	"github.com/eclipse/paho.golang":      {},                   // the testbed plays clients with it
	"github.com/ucloud/ucloud-sdk-go":     {},                   // the testbed plays applications with it
	"go.etcd.io/bbolt":                    {"edge-agent/state"}, // small state; tests of buffer, whose imports do not count, write files of older agents; the testbed compares
	"github.com/valyala/fastjson":         {"protocol/codec"},
	"github.com/fxamacker/cbor":           {"protocol/codec", "firmware/canon"},
	"github.com/veraison/go-cose":         {"firmware/signing"},
	"github.com/gorilla/websocket":        {"protocol/mqtt/server"},
	"github.com/dop251/goja":              {"cloud/script/worker"},
	"github.com/itchyny/gojq":             {"cloud/rules/jq"},
	"github.com/minio/minio-go":           {"cloud/blob/s3blob"},
	"github.com/coreos/go-oidc":           {"cloud/account/oidc"},
	"golang.org/x/oauth2":                 {"cloud/account/oidc"},
	"github.com/pquerna/otp":              {"cloud/account"},
	"golang.org/x/crypto/argon2":          {"cloud/account"},
	"github.com/klauspost/compress":       {"cloud/segment", "firmware/frame"},
	"github.com/twmb/franz-go":            {"cloud/rules/sink/kafkasink"},
	"go.mongodb.org/mongo-driver":         {"cloud/rules/sink/mongosink"},
	"github.com/simonvetter/modbus":       {"edge-agent/modbus"},
	"github.com/spf13/cobra":              {"cmd/hub", "cmd/hawserctl"},
	"github.com/mdp/qrterminal":           {"cmd/hawserctl"},
	"rsc.io/qr":                           {"cmd/hawserctl/label"},
	"golang.org/x/image":                  {"cmd/hawserctl/label"},
	"golang.org/x/crypto/ssh":             {"cmd/hawserctl/remote"},
}

// forbiddenInAgent are modules that must not reach the agent's binary, where
// every 100 KiB is flash on somebody's gateway.
var forbiddenInAgent = []string{
	"github.com/spf13/cobra", "github.com/prometheus/", "github.com/minio/", "github.com/itchyny/gojq", "github.com/dop251/goja",
	"modernc.org/sqlite", "github.com/jackc/pgx", "github.com/nats-io/", modulePath + "/cloud/", "go.yaml.in/yaml", "text/template", "html/template",
}

// forbiddenInCore is what only the gateway's half of the agent has.
var forbiddenInCore = []string{
	"regexp", modulePath + "/edge-agent/gateway", modulePath + "/edge-agent/route", modulePath + "/edge-agent/modbus", modulePath + "/edge-agent/driver", modulePath + "/protocol/rulesql",
}

func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}
