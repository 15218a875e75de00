package main

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/pquerna/otp/totp"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/hawser-iot/hawser/cloud/account/oidc/oidctest"
	"github.com/hawser-iot/hawser/cloud/apitype"
	sdk "github.com/hawser-iot/hawser/device-sdk/upload"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"browse": browse})
}

// browse goes to a URL and on to wherever it is sent, as a browser would.
func browse() {
	// The hub's certificate is one that nobody knows.
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: time.Minute}
	resp, err := client.Get(os.Args[1])
	if err != nil || resp.StatusCode != http.StatusOK {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = resp.Body.Close()
}

// TestScripts runs hawserctl, as it is released, against one real hub. Scripts may use, beside testscript's own commands:
//
//	code N ARGS…      run hawserctl and want the exit code N
//	get VAR PATH      set VAR to the member at PATH (a.b.0) of the last output, which is JSON
//	want PATH VALUE   want that member to be VALUE
//	totp VAR SECRET   set VAR to the present code of an authenticator's secret
//	lines FILE TEXT…  write a file with a line for each text
//	mode FILE MODE    want the file to have that mode
//	image FILE SEED N AT TEXT  write N bytes that do not compress, with TEXT put in at AT
//	serve VAR         serve the script's folder over HTTP, VAR is where
//	letters RULE N    wait until the rule has N dead letters, and list them
//	device P D        log the device in: it subscribes to set, answers commands, takes property sets, posts on upload, is hot
//	chat P D          send the device a message on set now and then, until the script ends: somebody who watches sees it, however late they come
func TestScripts(t *testing.T) {
	idp := oidctest.New(t)
	idp.Login(map[string]any{"sub": "42", "email": "olga@example.com", "email_verified": true, "name": "Olga"})
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--durability", "process", "--oidc-issuer", idp.Issuer, "--oidc-client-id", oidctest.Client,
		"--oidc-client-secret", oidctest.Secret, "--oidc-role", "viewer"}})
	t.Cleanup(harness.RemoveBinaries)
	bin := filepath.Dir(harness.Binary(t, "hawserctl"))
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("HAWSER_HUB", "http://"+hub.HTTP)
			env.Setenv("HAWSER_API_KEY", hub.Key)
			env.Setenv("HTTPS", "https://"+hub.HTTPS)
			env.Setenv("MQTTS_PORT", hub.MQTTS[strings.LastIndexByte(hub.MQTTS, ':')+1:])
			env.Setenv("CA", hub.Data+"/tls/ca.pem")
			env.Setenv("HAWSERCTL_CONFIG", env.WorkDir+"/config.yaml")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"image": makeImage, "serve": serve, "code": code, "get": get, "want": want, "totp": code6, "lines": lines, "mode": mode,
			"updates": func(ts *testscript.TestScript, _ bool, args []string) { updates(ts, hub, args[0], args[1], args[2]) },
			"upload": func(ts *testscript.TestScript, _ bool, args []string) {
				upload(ts, hub, args[0], args[1], args[2], args[3])
			},
			"beginupload": func(ts *testscript.TestScript, _ bool, args []string) {
				beginUpload(ts, hub, args[0], args[1], args[2], args[3])
			},
			"letters": func(ts *testscript.TestScript, _ bool, args []string) { letters(ts, hub, args[0], args[1]) },
			"device":  func(ts *testscript.TestScript, _ bool, args []string) { device(ts, hub, args[0], args[1]) },
			"chat":    func(ts *testscript.TestScript, _ bool, args []string) { chat(ts, hub, args[0], args[1]) },
		},
	})
}

func code6(ts *testscript.TestScript, _ bool, args []string) {
	text, err := totp.GenerateCode(args[1], time.Now())
	ts.Check(err)
	ts.Setenv(args[0], text)
}

func lines(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(args[1:], "\n")+"\n"), 0o600))
}

func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

func code(ts *testscript.TestScript, neg bool, args []string) {
	wanted, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("hawserctl", args[1:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("hawserctl: %v", err)
		}
		got = exit.ExitCode()
	}
	if got != wanted {
		ts.Fatalf("exit code %d, want %d\n%s%s", got, wanted, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// at is the member at path of the last output, strings bare.
func at(ts *testscript.TestScript, path string) string {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for name := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(x) {
				ts.Fatalf("no %s in %s", path, ts.ReadFile("stdout"))
			}
			v = x[i]
		default:
			ts.Fatalf("no %s in %s", path, ts.ReadFile("stdout"))
		}
	}
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	ts.Check(err)
	return string(b)
}

func get(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], at(ts, args[1]))
}

func want(ts *testscript.TestScript, _ bool, args []string) {
	if got := at(ts, args[0]); got != args[1] {
		ts.Fatalf("%s is %s, want %s", args[0], got, args[1])
	}
}

func letters(ts *testscript.TestScript, hub *harness.Hub, rule, n string) {
	var page struct{ Items []json.RawMessage }
	for end := time.Now().Add(time.Minute); ; <-time.After(20 * time.Millisecond) {
		ts.Check(hub.Call("GET", "/v1/dead-letters?ruleID="+rule, nil, &page))
		if strconv.Itoa(len(page.Items)) == n {
			break
		}
		if time.Now().After(end) {
			ts.Fatalf("%d dead letters, want %s", len(page.Items), n)
		}
	}
	ts.Check(ts.Exec("hawserctl", "rule", "dead", "list", "--rule", rule, "-o", "json"))
}

// chat sends messages until the script ends.
func chat(ts *testscript.TestScript, hub *harness.Hub, product, sn string) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			_ = hub.Call("POST", "/v1/products/"+product+"/devices/"+sn+"/publish", map[string]any{"topic": "set", "payload": "hi again", "qos": 1}, nil) // the next may arrive
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	ts.Defer(func() { close(stop); <-stopped })
}

// device is a lamp that does as it is told: dim answers with the percentage it was given.
func device(ts *testscript.TestScript, hub *harness.Hub, product, sn string) {
	var d struct{ DeviceSecret string }
	ts.Check(hub.Call("GET", "/v1/products/"+product+"/devices/"+sn, nil, &d))
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + hub.MQTT).SetClientID(product + "." + sn).
		SetUsername(product + "|" + sn + "|1").SetPassword(d.DeviceSecret).SetKeepAlive(time.Minute).SetOrderMatters(false))
	wait := func(tok mqtt.Token) {
		if !tok.WaitTimeout(time.Minute) {
			ts.Fatalf("the hub does not answer the device")
		}
		ts.Check(tok.Error())
	}
	wait(c.Connect())
	ts.Defer(func() { c.Disconnect(0) })
	system := "/$system/" + product + "/" + sn
	wait(c.Subscribe("/"+product+"/"+sn+"/set", 1, func(c mqtt.Client, m mqtt.Message) {
		c.Publish("/"+product+"/"+sn+"/upload", 1, false, m.Payload()) // says what it has heard
	}))
	wait(c.Subscribe(system+"/tmodel/property/set", 1, func(c mqtt.Client, m mqtt.Message) {
		c.Publish(system+"/tmodel/property/set_reply", 1, false, fmt.Sprintf(`{"RequestID":%q,"RetCode":0}`, requestID(m)))
	}))
	wait(c.Subscribe(system+"/tmodel/command", 1, func(c mqtt.Client, m mqtt.Message) {
		var in struct {
			Identifier string
			Input      struct{ Percent int }
		}
		_ = json.Unmarshal(m.Payload(), &in)
		code := 0
		if in.Input.Percent == 13 {
			code = 7 // it is superstitious
		}
		c.Publish(system+"/tmodel/command_reply/"+requestID(m), 1, false,
			fmt.Sprintf(`{"RequestID":%q,"RetCode":%d,"Identifier":%q,"Output":{"now":%d}}`, requestID(m), code, in.Identifier, in.Input.Percent))
	}))
	wait(c.Publish(system+"/tmodel/event/post", 1, false, `{"RequestID":"2","Identifier":"hot","Output":{"t":99},"Time":1524448722000}`)) // some lamps know it
	wait(c.Publish(system+"/tmodel/property/post", 1, false, `{"RequestID":"1","Property":{"t":{"Value":21.5,"Time":1524448722000}}}`))
}

// updates is a device that asks for firmware, gets it, and says that it runs a version now.
func updates(ts *testscript.TestScript, hub *harness.Hub, product, sn, version string) {
	var d struct{ DeviceSecret string }
	ts.Check(hub.Call("GET", "/v1/products/"+product+"/devices/"+sn, nil, &d))
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + hub.MQTT).SetClientID(product + "." + sn).
		SetUsername(product + "|" + sn + "|1").SetPassword(d.DeviceSecret).SetKeepAlive(time.Minute).SetOrderMatters(false))
	wait := func(tok mqtt.Token) {
		if !tok.WaitTimeout(time.Minute) {
			ts.Fatalf("the hub does not answer the device")
		}
		ts.Check(tok.Error())
	}
	wait(c.Connect())
	defer c.Disconnect(0)
	system, offered := "/$system/"+product+"/"+sn, make(chan struct{}, 10)
	wait(c.Subscribe(system+"/ota/downstream", 1, func(mqtt.Client, mqtt.Message) { offered <- struct{}{} }))
	wait(c.Publish(system+"/ota/upstream", 1, false, `{"Method":"request_firmware","Payload":{"Module":"default","Version":"1.0"}}`))
	select {
	case <-offered:
	case <-time.After(time.Minute):
		ts.Fatalf("%s was offered nothing", sn)
	}
	wait(c.Publish(system+"/ota/upstream", 1, false, `{"Method":"report_progress","Payload":{"State":"downloading","Percent":50}}`))
	wait(c.Publish(system+"/ota/upstream", 1, false, fmt.Sprintf(`{"Method":"report_success","Payload":{"Module":"default","Version":%q}}`, version)))
}

// upload sends a file as a device does over HTTP.
func upload(ts *testscript.TestScript, hub *harness.Hub, product, sn, name, text string) {
	var d struct{ DeviceSecret string }
	ts.Check(hub.Call("GET", "/v1/products/"+product+"/devices/"+sn, nil, &d))
	body := fmt.Sprintf(`{"ProductSN":%q,"DeviceSN":%q,"FileName":%q,"FileSize":%d,"MD5":"%x","Content-Type":"plain/text"}`,
		product, sn, name, len(text), md5.Sum([]byte(text)))
	send := func(method, url, authorization, body string) []byte {
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		ts.Check(err)
		req.Header.Set("Authorization", authorization)
		res, err := http.DefaultClient.Do(req)
		ts.Check(err)
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		ts.Check(err)
		if res.StatusCode != http.StatusOK {
			ts.Fatalf("%s: %s %s", url, res.Status, b)
		}
		return b
	}
	var g struct{ URL, Authorization string }
	ts.Check(json.Unmarshal(send("POST", "http://"+hub.HTTP+"/api/v1/url", credential.SignBody(credential.Secret(d.DeviceSecret), []byte(body)), body), &g))
	_, path, _ := strings.Cut(strings.TrimPrefix(g.URL, "https://"), "/")
	send("PUT", "http://"+hub.HTTP+"/"+path, g.Authorization, text)
}

// beginUpload begins a file in parts as a device does, and checks that the answer has a text.
func beginUpload(ts *testscript.TestScript, hub *harness.Hub, product, sn, name, want string) {
	var d struct{ DeviceSecret string }
	ts.Check(hub.Call("GET", "/v1/products/"+product+"/devices/"+sn, nil, &d))
	a, err := sdk.NewHTTP("http://"+hub.HTTP, ident.Device{Product: product, SN: sn}, credential.Secret(d.DeviceSecret), nil).Ask(context.Background(),
		message.UploadRequest{Method: message.UploadInit, FileName: name, FileSize: 10, SHA256: strings.Repeat("ab", 32), Class: "log"})
	ts.Check(err)
	if got := a.State + a.Message; !strings.Contains(got, want) {
		ts.Fatalf("the device is told %q, not %q", got, want)
	}
}

func requestID(m mqtt.Message) string {
	var in struct{ RequestID string }
	_ = json.Unmarshal(m.Payload(), &in)
	return in.RequestID
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			return
		}
		if !cmd.Runnable() { // a topic of help
			if cmd.Short == "" || cmd.Long == "" {
				t.Errorf("topic %s has no text", cmd.Name())
			}
			return
		}
		if cmd.Short == "" || !strings.Contains(cmd.Example, "hawserctl "+strings.TrimPrefix(cmd.CommandPath(), "hawserctl ")) {
			t.Errorf("%s has no short text, or no example with its own name:\n%s", cmd.CommandPath(), cmd.Example)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	for _, cmd := range newRoot(&cli{}).Commands() {
		walk(cmd)
	}
}

// Everything that changes something must take the flags of help changes, and each argument that the hub knows the names
// of must be completed.
// freeArguments name nothing that the hub could list: texts, files, and what is yet to be made. Everything else has a source.
var freeArguments = regexp.MustCompile(`(?m)^(.* (FILE(\.csv)?|IMAGE|MANIFEST|ROOT|OLD|NEW|DELTA|ACTION|CODE|LOGIN|TOPIC|REPLY-TOPIC|P/D…|TAG…|FILTER…|KEY…|MESSAGE|JSON.*|PAYLOAD.*|PROPERTY|PATH:PERMISSION…)|` +
	`hawserctl (product|rule|connector|key|group|alarm-rule|alarm-channel) create NAME|hawserctl context add NAME|hawserctl project create PROJECT|hawserctl command (call|batch) ID|hawserctl ca revoke SERIAL)$`)

func TestEveryArgumentHasACompletion(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			return
		}
		tokens := strings.Fields(cmd.Use)[1:]
		if len(tokens) > 0 && cmd.ValidArgsFunction == nil {
			t.Errorf("%s completes no argument", cmd.CommandPath())
		}
		for i, token := range tokens {
			if strings.HasPrefix(token, "-") || i > 0 && strings.HasPrefix(tokens[i-1], "--") {
				continue // a flag
			}
			free := freeArguments.MatchString(cmd.CommandPath() + " " + bare(token))
			if known := sourceOf(cmd, token) != nil; known == free {
				t.Errorf("%s: %s has a source: %v, and names nothing: %v", cmd.CommandPath(), token, known, free)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&cli{}))
}

func TestTablesFitTheTerminal(t *testing.T) {
	items := []json.RawMessage{
		[]byte(`{"id":"1","name":"a name that goes on and on and on","sql":"SELECT * FROM '/a/+/upload' WHERE temperature > 30","at":{"x":{"y":7}}}`),
		[]byte(`{"id":"2","name":"ä short one","sql":null,"extra":[1,{"a":"b"}]}`),
	}
	tests := []struct {
		name, output string
		width        int
		columns      []string
		bare         bool
		want         string
	}{
		{"piped", asTable, 0, nil, false, "id  name                               sql\n" +
			"1   a name that goes on and on and on  SELECT * FROM '/a/+/upload' WHERE temperature > 30\n2   ä short one                        -\n"},
		{"on a terminal", asTable, 40, nil, false, "id  name               sql\n1   a name that goes…  SELECT * FROM '/…\n2   ä short one        -\n"},
		{"narrower than possible", asTable, 5, nil, false, "id  name      sql\n1   a name …  SELECT …\n2   ä short…  -\n"},
		{"chosen columns", asTable, 0, []string{"at.x.y", "id"}, false, "at.x.y  id\n7       1\n-       2\n"},
		{"without headers", asTable, 0, []string{"id"}, true, "1\n2\n"},
		{"wide", asWide, 30, nil, true, "1  a name that goes on and on and on  SELECT * FROM '/a/+/upload' WHERE temperature > 30  {\"x\":{\"y\":7}}  -\n" +
			"2  ä short one                        -                                                   -              [1,{\"a\":\"b\"}]\n"},
		{"CSV", asCSV, 30, []string{"name", "sql", "extra"}, false, "name,sql,extra\na name that goes on and on and on,SELECT * FROM '/a/+/upload' WHERE temperature > 30,\n" +
			"ä short one,,\"[1,{\"\"a\"\":\"\"b\"\"}]\"\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			c := &cli{out: &out, output: tt.output, columns: tt.columns, noHeaders: tt.bare, columnsOf: func() int { return tt.width }}
			if err := c.printList(items, "id", "name", "sql"); err != nil || out.String() != tt.want {
				t.Errorf("got (%v)\n%s\nwant\n%s", err, out.String(), tt.want)
			}
			for line := range strings.Lines(out.String()) {
				if n := len([]rune(strings.TrimSuffix(line, "\n"))); tt.output == asTable && tt.width > 20 && n > tt.width {
					t.Errorf("%d characters on a terminal of %d: %s", n, tt.width, line)
				}
			}
		})
	}
}

func TestProgress(t *testing.T) {
	total, rest := int64(100_000), 4.4
	j := &apitype.Job{ID: "j", State: "running", Total: &total, Succeeded: 61_988, Failed: 12, RatePerSecond: 9123.4, RemainingSeconds: &rest}
	if got, want := barOf(j), "██████████████░░░░░░░░░░  62 % 62,000/100,000, 12 failed, 9,123/s, 5s left"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var out strings.Builder
	p := &progress{w: &out}
	p.show(j)
	p.show(j) // too soon
	p.end()
	if got, want := out.String(), "job j: 62,000/100,000, 12 failed, 9,123/s, 5s left\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	out.Reset()
	p = &progress{w: &out, tty: true}
	p.show(j)
	p.end()
	if got := out.String(); !strings.HasPrefix(got, "\r\x1b[K█") || !strings.HasSuffix(got, "left\r\x1b[K") {
		t.Errorf("on a terminal: %q", got)
	}
}

// The document of the API names the command for an operation; what it names must be there, with its flags.
func TestCommandsOfTheDocument(t *testing.T) {
	b, err := os.ReadFile("../../cloud/api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "x-hawserctl: ")
		if !ok {
			continue
		}
		n++
		words := strings.Fields(strings.ReplaceAll(strings.Trim(text, "'"), "''", "'"))[1:]
		cmd, rest, err := newRoot(&cli{}).Find(words)
		if err != nil || !cmd.HasParent() {
			t.Errorf("%s: there is no such command (%v)", text, err)
			continue
		}
		for _, word := range rest {
			name, isFlag := strings.CutPrefix(word, "--")
			if isFlag && cmd.Flag(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
				t.Errorf("%s: %s has no flag %s", text, cmd.CommandPath(), word)
			}
		}
	}
	if n < 40 {
		t.Errorf("%d commands in the document, that cannot be all", n)
	}
}

// … and what a command asks for, the document says that of.
func TestTheDocumentKnowsTheCommands(t *testing.T) {
	b, err := os.ReadFile("../../cloud/api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`operationId: (\w+)\n +x-hawserctl: `).FindAllStringSubmatch(string(b), -1) {
		known[strings.ToLower(m[1])] = true
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\bclient\.([A-Z]\w+?)(WithBody)?\(ctx\b`).FindAllStringSubmatch(string(source), -1) {
			if !known[strings.ToLower(m[1])] {
				t.Errorf("%s calls %s, of which the document names no command", name, m[1])
			}
		}
	}
}

// commandless are the operations that no command can be for: a document for programs, and where a browser is sent to.
var commandless = []string{"getOpenAPI", "finishOIDC"}

// Whatever the API can do, hawserctl can.
func TestEveryOperationHasACommand(t *testing.T) {
	b, err := os.ReadFile("../../cloud/api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]yaml.Node
	}
	if err := yaml.Unmarshal(b, &document); err != nil {
		t.Fatal(err)
	}
	var without []string
	n := 0
	for path, item := range document.Paths {
		for method, node := range item {
			var op struct {
				ID      string `yaml:"operationId"`
				Command string `yaml:"x-hawserctl"`
			}
			if node.Kind != yaml.MappingNode || node.Decode(&op) != nil || op.ID == "" {
				continue // parameters
			}
			if n++; op.Command == "" {
				without = append(without, op.ID)
				if !slices.Contains(commandless, op.ID) {
					t.Errorf("%s %s (%s) has no command", strings.ToUpper(method), path, op.ID)
				}
			}
		}
	}
	if n < 90 || len(without) != len(commandless) {
		t.Errorf("%d operations, of which %v have no command, want only %v without", n, without, commandless)
	}
}
