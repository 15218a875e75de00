package mongosink

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/mongowire"
)

// fail makes the server answer commands with an error, or hang up, until the test or back ends.
func (w *world) fail(t *testing.T, mode any, data bson.D, commands ...string) (back func()) {
	t.Helper()
	set := func(mode any) error {
		return w.client.Database("admin").RunCommand(context.Background(), bson.D{{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: mode},
			{Key: "data", Value: append(bson.D{{Key: "failCommands", Value: commands}}, data...)}}).Err()
	}
	if err := set(mode); err != nil {
		t.Fatalf("the server must know configureFailPoint (--setParameter enableTestCommands=1): %v", err)
	}
	back = func() { _ = set("off") }
	t.Cleanup(back)
	return back
}

func code(n int) bson.D { return bson.D{{Key: "errorCode", Value: n}} }

func TestAnswers(t *testing.T) {
	w := start(t)
	e := env(t, w.config)
	fixed := open(t, e, `{"connector":"c1","database":"`+w.database+`","collection":"c"}`)
	made := open(t, e, `{"connector":"c1","database":"`+w.database+`","collection":"${c}"}`)
	n := 0
	for _, tt := range []struct {
		code        int
		fixed, made string
	}{
		{10107, "unavailable", "unavailable"}, // NotWritablePrimary
		{189, "unavailable", "unavailable"},   // PrimarySteppedDown
		{11600, "unavailable", "unavailable"}, // InterruptedAtShutdown
		{91, "unavailable", "unavailable"},    // ShutdownInProgress
		{262, "unavailable", "unavailable"},   // ExceededTimeLimit
		{14031, "unavailable", "unavailable"}, // OutOfDiskSpace
		{13, "unavailable", "tried a few times"},
		{121, "permanent", "permanent"},
		{2, "permanent", "permanent"},
		{10334, "permanent", "permanent"},
		{8, "tried a few times", "tried a few times"}, // UnknownError
	} {
		for s, want := range map[*Sink]string{fixed: tt.fixed, made: tt.made} {
			back := w.fail(t, "alwaysOn", code(tt.code), "insert")
			n++
			r := []rules.Record{record("dev1", n, `{"c":"c"}`)}
			if err := s.Send(t.Context(), r); class(err) != want {
				t.Errorf("%d: %s, want %s: %v", tt.code, class(err), want, err)
			}
			back()
			if err := s.Send(t.Context(), r); err != nil {
				t.Fatalf("after %d: %v", tt.code, err)
			}
		}
	}
	back := w.fail(t, "alwaysOn", bson.D{{Key: "closeConnection", Value: true}}, "insert")
	if err := fixed.Send(t.Context(), []rules.Record{record("dev1", 1000, `{}`)}); class(err) != "unavailable" {
		t.Errorf("it hangs up: %v", err)
	}
	back()
	if err := fixed.Send(t.Context(), []rules.Record{record("dev1", 1000, `{}`)}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	w.fail(t, bson.D{{Key: "times", Value: 1}}, code(8), "find")
	if err := fixed.Send(t.Context(), []rules.Record{record("dev1", 1000, `{}`), record("dev1", 1001, `{}`)}); class(err) != "tried a few times" {
		t.Errorf("it cannot be found out what is there: %v", err)
	}
}

// What one document of a batch is refused for is found out one by one; those before it are there, once.
func TestRefusals(t *testing.T) {
	w := start(t)
	db := w.client.Database(w.database)
	schema := bson.D{{Key: "$jsonSchema", Value: bson.D{{Key: "required", Value: bson.A{"v"}}}}}
	if err := db.CreateCollection(t.Context(), "valid", options.CreateCollection().SetValidator(schema)); err != nil {
		t.Fatal(err)
	}
	index := mongo.IndexModel{Keys: bson.D{{Key: "v", Value: 1}}, Options: options.Index().SetUnique(true)}
	if _, err := db.Collection("unique").Indexes().CreateOne(t.Context(), index); err != nil {
		t.Fatal(err)
	}
	for collection, bad := range map[string]string{"valid": `{"w":1}`, "unique": `{"v":1,"again":true}`} {
		s := w.sink(t, `,"collection":"`+collection+`"`)
		batch := []rules.Record{record("dev1", 0, `{"v":1}`), record("dev1", 1, bad), record("dev1", 2, `{"v":3}`)}
		if err := s.Send(t.Context(), batch); class(err) != "permanent" {
			t.Errorf("%s: %v", collection, err)
		}
		for i, want := range []string{"delivered", "permanent", "delivered"} {
			if err := s.Send(t.Context(), batch[i:i+1]); class(err) != want {
				t.Errorf("%s: %d alone: %v, want %s", collection, i, err, want)
			}
		}
		if got := w.read(t, collection); len(got) != 2 {
			t.Errorf("%s holds\n%s", collection, strings.Join(got, "\n"))
		}
	}
	large := record("dev1", 0, `{"s":"`+strings.Repeat("x", 16<<20-10)+`"}`)
	if err := w.sink(t, `,"collection":"c"`).Send(t.Context(), []rules.Record{record("dev1", 1, `{}`), large}); class(err) != "permanent" {
		t.Errorf("too large: %v", err)
	}
	if got := w.read(t, "c"); len(got) != 0 {
		t.Errorf("%d went out", len(got))
	}
}

func TestLogin(t *testing.T) {
	w := start(t)
	if err := connection(t, env(t, w.config)).Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
	var config map[string]any
	if err := json.Unmarshal([]byte(w.config), &config); err != nil {
		t.Fatal(err)
	}
	config["user"], config["password"] = "hub", "falsch"
	b, _ := json.Marshal(config) // as above
	bad := env(t, string(b))
	err := connection(t, bad).Ping(t.Context())
	if class(err) != "unavailable" || !strings.Contains(strings.ToLower(err.Error()), "auth") || strings.Contains(err.Error(), "falsch") {
		t.Errorf("a wrong password, Ping: %v", err)
	}
	err = open(t, bad, `{"connector":"c1","database":"d","collection":"c"}`).Send(t.Context(), []rules.Record{record("dev1", 0, `{}`)})
	if class(err) != "unavailable" || !strings.Contains(strings.ToLower(err.Error()), "auth") {
		t.Errorf("a wrong password, Send: %v", err)
	}
	if os.Getenv("HAWSER_TEST_MONGO_URI") != "" && os.Getenv("HAWSER_TEST_MONGO_USER") == "" {
		return // a server that lets everybody in
	}
	delete(config, "user")
	delete(config, "password")
	b, _ = json.Marshal(config) // as above
	err = open(t, env(t, string(b)), `{"connector":"c1","database":"d","collection":"c"}`).Send(t.Context(), []rules.Record{record("dev1", 0, `{}`)})
	if class(err) != "unavailable" {
		t.Errorf("no password: %v", err)
	}
}

func connection(t testing.TB, e rules.Env) rules.Connection {
	t.Helper()
	h, err := e.Connector(Kind, "c1")
	if err != nil {
		t.Fatal(err)
	}
	return h.(handle).conn
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := env(t, `{"hosts":["`+ln.Addr().String()+`"],"timeoutSeconds":1}`)
	action := `{"connector":"c1","database":"d","collection":"c"}`
	begun := time.Now()
	if err := open(t, silent, action).Send(t.Context(), []rules.Record{record("dev1", 0, `{}`)}); class(err) != "unavailable" {
		t.Errorf("no answer: %v", err)
	}
	if took := time.Since(begun); took > harness.Promised(10*time.Second) {
		t.Errorf("it took %v", took)
	}
	_ = ln.Close()
	if err := connection(t, silent).Ping(t.Context()); class(err) != "unavailable" {
		t.Errorf("nobody there: %v", err)
	}
	_ = connection(t, silent).Close()
	if err := open(t, silent, action).Send(t.Context(), []rules.Record{record("dev1", 0, `{}`)}); class(err) != "unavailable" {
		t.Errorf("a connector that was replaced: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := open(t, env(t, `{"hosts":["127.0.0.1:1"]}`), action).Send(ctx, []rules.Record{record("dev1", 0, `{}`)}); err == nil {
		t.Error("delivered after the end")
	}
}

func TestForbiddenAddress(t *testing.T) {
	t.Parallel()
	_, port, _ := net.SplitHostPort(serve(t, mongowire.Options{})) // a listener's
	conn, err := ConnectorKind().Open(json.RawMessage(`{"hosts":["localhost:`+port+`"],"timeoutSeconds":1}`), outbound.New(outbound.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Ping(t.Context()); !errors.Is(err, outbound.ErrLocal) || class(err) != "permanent" {
		t.Errorf("%v", err)
	}
}

// What the server has said is stored is there after it was closed and opened again, and so are its rules.
func TestWireKeeps(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		t.Run(strconv.Itoa(round), func(t *testing.T) {
			e := env(t, `{"hosts":["`+serve(t, mongowire.Options{Dir: dir})+`"]}`)
			s := open(t, e, `{"connector":"c1","database":"d","collection":"c"}`)
			for i := range round + 2 {
				if err := s.Send(t.Context(), []rules.Record{record("dev1", i, `{}`)}); err != nil {
					t.Fatal(err)
				}
			}
			cl, err := connection(t, e).(*Connection).client()
			if err != nil {
				t.Fatal(err)
			}
			n, err := cl.Database("d").Collection("c").Find(t.Context(), bson.D{})
			if err != nil {
				t.Fatal(err)
			}
			var docs []bson.Raw
			if err := n.All(t.Context(), &docs); err != nil || len(docs) != round+2 {
				t.Errorf("%d documents, %v, want %d", len(docs), err, round+2)
			}
		})
		f, err := os.OpenFile(dir+"/documents.log", os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write([]byte{40, 0, 0, 0, 2, 'o'}) // a write that a crash has cut
		_ = f.Close()
	}
}
