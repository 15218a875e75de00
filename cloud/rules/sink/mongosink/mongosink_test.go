package mongosink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
	"github.com/hawser-iot/hawser/testbed/mongowire"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

const product = "0123456789abcdef"

// world is a MongoDB: the one of HAWSER_TEST_MONGO_URI (with HAWSER_TEST_MONGO_USER and _PASSWORD, if it wants them), which
// must allow test commands, or a mongowire.
type world struct {
	config   string // of a connector
	client   *mongo.Client
	database string // of this test
}

var databases atomic.Int64

func start(t testing.TB) *world {
	t.Helper()
	w := &world{database: fmt.Sprintf("hawser_test_%d_%d", os.Getpid(), databases.Add(1))}
	uri, user, password := os.Getenv("HAWSER_TEST_MONGO_URI"), os.Getenv("HAWSER_TEST_MONGO_USER"), os.Getenv("HAWSER_TEST_MONGO_PASSWORD")
	if uri == "" {
		user, password = "hub", "geheim, \"quoted\""
		uri = "mongodb://" + serve(t, mongowire.Options{User: user, Password: password}) + "/?directConnection=true"
	}
	o := options.Client().ApplyURI(uri)
	config := map[string]any{"uri": uri, "timeoutSeconds": 2}
	if user != "" {
		o.SetAuth(options.Credential{Username: user, Password: password})
		config["user"], config["password"] = user, password
	}
	b, _ := json.Marshal(config) // strings and a number
	w.config = string(b)
	var err error
	if w.client, err = mongo.Connect(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.client.Database(w.database).Drop(context.Background())
		_ = w.client.Disconnect(context.Background())
	})
	return w
}

// serve starts a mongowire and returns its address.
func serve(t testing.TB, o mongowire.Options) string {
	t.Helper()
	s, err := mongowire.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		_ = ln.Close()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

type handle struct {
	conn   rules.Connection
	config string
}

func (h handle) Use(f func(rules.Connection) error) error { return f(h.conn) }
func (h handle) Info() (string, json.RawMessage)          { return "plant", json.RawMessage(h.config) }

func env(t testing.TB, config string) rules.Env {
	t.Helper()
	conn, err := ConnectorKind().Open(json.RawMessage(config), outbound.New(outbound.Options{AllowLocal: true}))
	if err != nil {
		t.Fatalf("connector: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return rules.Env{Connector: func(kind, id string) (rules.Handle, error) {
		if kind != Kind || id != "c1" {
			return nil, fmt.Errorf("no connector %s of kind %s", id, kind)
		}
		return handle{conn, config}, nil
	}}
}

func open(t testing.TB, e rules.Env, config string) *Sink {
	t.Helper()
	s, err := New(json.RawMessage(config), e)
	if err != nil {
		t.Fatalf("New(%s): %v", config, err)
	}
	return s.(*Sink)
}

// sink is an action's on the world's database.
func (w *world) sink(t testing.TB, more string) *Sink {
	t.Helper()
	return open(t, env(t, w.config), `{"connector":"c1","database":"`+w.database+`"`+more+`}`)
}

// read returns what a collection holds, in its order, as extended JSON.
func (w *world) read(t testing.TB, collection string) []string {
	t.Helper()
	cur, err := w.client.Database(w.database).Collection(collection).Find(t.Context(), bson.D{}, options.Find().SetBatchSize(50))
	if err != nil {
		t.Fatal(err)
	}
	var docs []bson.Raw
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, d := range docs {
		b, err := bson.MarshalExtJSON(d, true, false)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(b))
	}
	return list
}

func record(device string, i int, result string) rules.Record {
	return rules.Record{Action: 5, MessageID: message.ID(1000 + i), Device: ident.Device{Product: product, SN: device}, Topic: "/" + product + "/" + device + "/up",
		Time: time.UnixMilli(1764000000000 + int64(i)).UTC(), Result: []byte(result)}
}

func class(err error) string {
	switch {
	case err == nil:
		return "delivered"
	case errors.Is(err, rules.ErrPermanent) && errors.Is(err, rules.ErrUnavailable):
		return "both"
	case errors.Is(err, rules.ErrPermanent):
		return "permanent"
	case errors.Is(err, rules.ErrUnavailable):
		return "unavailable"
	}
	return "tried a few times"
}

func TestInsert(t *testing.T) {
	w := start(t)
	s := w.sink(t, `,"collection":"c","dates":["at","in.t","m.1"]`)
	err := s.Send(t.Context(), []rules.Record{
		record("dev1", 0, `{"i":7,"f":7.0,"e":1e3,"big":18446744073709551615,"min":-9223372036854775808,"s":"ü","b":true,"n":null,"o":{"a.b":{}},"l":[1,"x",[]],"light.state":1}`),
		record("dev1", 1, `{"at":"2025-11-24T17:20:00.123+01:00","in":{"t":1764000000123},"m":[5,1764000000000.7]}`),
		record("dev1", 2, `{"at":null,"z":1,"_id":{"k":1}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"_id":"1000:5","i":{"$numberLong":"7"},"f":{"$numberDouble":"7.0"},"e":{"$numberDouble":"1000.0"},"big":{"$numberDecimal":"18446744073709551615"},"min":{"$numberLong":"-9223372036854775808"},"s":"ü","b":true,"n":null,"o":{"a.b":{}},"l":[{"$numberLong":"1"},"x",[]],"light.state":{"$numberLong":"1"}}`,
		`{"_id":"1001:5","at":{"$date":{"$numberLong":"1764001200123"}},"in":{"t":{"$date":{"$numberLong":"1764000000123"}}},"m":[{"$numberLong":"5"},{"$date":{"$numberLong":"1764000000000"}}]}`,
		`{"_id":{"k":{"$numberLong":"1"}},"at":null,"z":{"$numberLong":"1"}}`,
	}
	if got := w.read(t, "c"); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What comes again is there already, whichever part of a batch it is.
func TestRepeats(t *testing.T) {
	w := start(t)
	s := w.sink(t, `,"collection":"c"`)
	var all []rules.Record
	for i := range 300 {
		all = append(all, record("dev1", i, `{"n":`+strconv.Itoa(i)+`}`))
	}
	for _, part := range [][2]int{{0, 10}, {0, 20}, {50, 60}, {5, 7}, {100, 101}, {20, 50}, {40, 300}, {0, 300}} {
		if err := s.Send(t.Context(), all[part[0]:part[1]]); err != nil {
			t.Fatalf("%v: %v", part, err)
		}
	}
	got := w.read(t, "c")
	if len(got) != len(all) {
		t.Errorf("%d documents, want %d", len(got), len(all))
	}
}

// With an _id of the user's making a repeat is known by being the same.
func TestOwnID(t *testing.T) {
	w := start(t)
	s := w.sink(t, `,"collection":"c","id":"${k}"`)
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `{"k":7,"v":1}`), record("dev1", 1, `{"k":"x","v":[1]}`)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 1, `{"k":"x","v":[1]}`), record("dev1", 2, `{"k":8,"v":1}`)}); err != nil {
		t.Errorf("a repeat: %v", err)
	}
	err := s.Send(t.Context(), []rules.Record{record("dev1", 3, `{"k":7,"v":2}`)})
	if class(err) != "permanent" || !errors.Is(err, errTaken) {
		t.Errorf("another with the same _id: %v", err)
	}
	want := []string{`{"_id":{"$numberLong":"7"},"k":{"$numberLong":"7"},"v":{"$numberLong":"1"}}`, `{"_id":"x","k":"x","v":[{"$numberLong":"1"}]}`, `{"_id":{"$numberLong":"8"},"k":{"$numberLong":"8"},"v":{"$numberLong":"1"}}`}
	if got := w.read(t, "c"); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// A number that only a decimal has room for is the same in an _id as in the document.
func Test64Bits(t *testing.T) {
	w := start(t)
	s := w.sink(t, `,"collection":"c","id":"${k}"`)
	for range 2 { // a repeat is one
		if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `{"k":18446744073709551615}`)}); err != nil {
			t.Fatal(err)
		}
	}
	const number = `{"$numberDecimal":"18446744073709551615"}`
	if got := w.read(t, "c"); !reflect.DeepEqual(got, []string{`{"_id":` + number + `,"k":` + number + `}`}) {
		t.Errorf("got %s", got)
	}
}

func TestUpsert(t *testing.T) {
	w := start(t)
	s := w.sink(t, `,"collection":"latest","upsertBy":["device","in.t"],"dates":["in.t"]`)
	for i := range 3 {
		batch := []rules.Record{record("dev1", 2*i, fmt.Sprintf(`{"device":"dev1","in":{"t":1},"v":%d}`, i)), record("dev2", 2*i+1, fmt.Sprintf(`{"device":"dev2","in":{"t":1},"v":%d}`, i))}
		if err := s.Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	got := w.read(t, "latest")
	if len(got) != 2 || !strings.HasSuffix(got[0], `"device":"dev1","in":{"t":{"$date":{"$numberLong":"1"}}},"v":{"$numberLong":"2"}}`) || !strings.HasSuffix(got[1], `"v":{"$numberLong":"2"}}`) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 9, `{"v":1}`)}); class(err) != "permanent" {
		t.Errorf("without the field: %v", err)
	}
	byID := w.sink(t, `,"collection":"byid","upsertBy":["_id"]`)
	for i := range 2 {
		if err := byID.Send(t.Context(), []rules.Record{record("dev1", i, `{"_id":"a","v":`+strconv.Itoa(i)+`}`)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.read(t, "byid"); !reflect.DeepEqual(got, []string{`{"_id":"a","v":{"$numberLong":"1"}}`}) {
		t.Errorf("got %v", got)
	}
}

func TestTemplates(t *testing.T) {
	w := start(t)
	s := w.sink(t, `,"collection":"c_${room}"`)
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `{"room":1}`), record("dev1", 1, `{"room":2}`), record("dev1", 2, `{"room":1}`)}); err != nil {
		t.Fatal(err)
	}
	if a, b := w.read(t, "c_1"), w.read(t, "c_2"); len(a) != 2 || len(b) != 1 || !strings.Contains(a[1], "1002:5") {
		t.Errorf("got %v and %v", a, b)
	}
	for _, bad := range []string{`{}`, `{"room":"$x"}`, `[1]`, `7`, "\x00", `{"room":"a\u0000"}`, `{"room":3,"a\u0000b":1}`} {
		// One that makes no document takes the others with it.
		if err := s.Send(t.Context(), []rules.Record{record("dev1", 3, `{"room":3}`), record("dev1", 4, bad)}); class(err) != "permanent" {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := w.sink(t, `,"collection":"c","dates":["t"]`).Send(t.Context(), []rules.Record{record("dev1", 4, `{"t":"yesterday"}`)}); class(err) != "permanent" || !strings.Contains(err.Error(), "${t}") {
		t.Errorf("a date that is none: %v", err)
	}
	if got := w.read(t, "c_3"); len(got) != 0 {
		t.Errorf("went out: %v", got)
	}
}

func TestPreview(t *testing.T) {
	e := env(t, `{"hosts":["db1","db2:27018"],"replicaSet":"rs","user":"u","password":"geheim"}`)
	r := record("dev1", 0, `{"d":"dev1","v":1}`)
	for config, want := range map[string]rules.Preview{
		`{"connector":"c1","database":"d","collection":"c_${d}"}`:             {Target: "MongoDB plant (db1,db2:27018), d.c_dev1", Statement: `insert {"_id":"1000:5","d":"dev1","v":1}`},
		`{"connector":"c1","database":"d","collection":"c","upsertBy":["d"]}`: {Target: "MongoDB plant (db1,db2:27018), d.c", Statement: `replace, or insert, what matches {"d":"dev1"} with {"d":"dev1","v":1}`},
	} {
		if got, err := open(t, e, config).Preview(&r); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", config, got, err, want)
		}
	}
}

func TestConfig(t *testing.T) {
	e := env(t, `{"hosts":["db1"]}`)
	for _, bad := range []string{``, `[]`, `{}`, `{"connector":"c2","database":"d","collection":"c"}`, `{"connector":"c1","database":"","collection":"c"}`, `{"connector":"c1","database":"d","collection":""}`,
		`{"connector":"c1","database":"a.b","collection":"c"}`, `{"connector":"c1","database":"d","collection":"$c"}`, `{"connector":"c1","database":"d","collection":"system.users"}`,
		`{"connector":"c1","database":"d","collection":"${"}`, `{"connector":"c1","database":"d","collection":"c","colour":1}`, `{"connector":"c1","database":"d","collection":"c","batchSize":-1}`,
		`{"connector":"c1","database":"d","collection":"c","lingerMillis":-1}`, `{"connector":"c1","database":"d","collection":"c","upsertBy":[""]}`,
		`{"connector":"c1","database":"d","collection":"c","upsertBy":["$where"]}`, `{"connector":"c1","database":"d","collection":"c","dates":[""]}`, `{"connector":"c1","database":"d","collection":"c","id":"${"}`} {
		if _, err := New(json.RawMessage(bad), e); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	e.Binary = true
	if _, err := New(json.RawMessage(`{"connector":"c1","database":"d","collection":"c"}`), e); err == nil {
		t.Error("a rule for bytes was taken")
	}
}

func TestConnectorConfig(t *testing.T) {
	out := outbound.New(outbound.Options{})
	for bad, says := range map[string]string{
		``: "read", `{}`: "either uri or hosts", `{"uri":"mongodb://db","hosts":["db"]}`: "either uri or hosts", `{"uri":"http://db"}`: "mongodb://",
		`{"uri":"mongodb://u:geheim@db"}`: "members of their own", `{"uri":"mongodb://db/?w=0"}`: `"w"`, `{"uri":"mongodb://db/?authMechanismProperties=x"}`: "not taken",
		`{"hosts":["db"],"user":"u"}`: "go together", `{"hosts":["127.0.0.1"]}`: "--rule-allow-local", `{"uri":"mongodb://db,[::1]:27017"}`: "--rule-allow-local",
		`{"hosts":["db"],"timeoutSeconds":0.1}`: "timeoutSeconds", `{"hosts":["db"],"ca":"x"}`: "tls: true", `{"hosts":["db"],"colour":1}`: "colour",
		`{"hosts":["db"],"user":"u","password":"p","authMechanism":"ROT13"}`: "ROT13", `{"uri":"mongodb://db","replicaSet":"rs"}`: "replicaSet",
	} {
		if _, err := ConnectorKind().Open(json.RawMessage(bad), out); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, good := range []string{`{"uri":"mongodb+srv://cluster.example/?replicaSet=rs"}`, `{"uri":"mongodb://a,b:27018/?replicaSet=rs&compressors=zstd"}`, `{"hosts":["10.0.0.1"],"tls":true,"authMechanism":"MONGODB-X509"}`} {
		conn, err := ConnectorKind().Open(json.RawMessage(good), out)
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}
