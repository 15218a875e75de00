package message_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

var (
	raw    = func(s string) json.RawMessage { return json.RawMessage(s) }
	device = ident.Device{Product: "70ly1tvowt696r15", SN: "dev-01"}
)

// wire holds each message as the protocol's page shows it, byte for byte.
var wire = []struct {
	name string
	msg  any
	want string
}{
	{"property post", message.PropertyPost{RequestID: "1", Property: map[string]message.Value{"t": {Value: raw(`21.5`), Time: 1524448722000}}},
		`{"RequestID":"1","Property":{"t":{"Value":21.5,"Time":1524448722000}}}`},
	{"property post without time", message.PropertyPost{RequestID: "1", Property: map[string]message.Value{"t": {Value: raw(`1`)}}},
		`{"RequestID":"1","Property":{"t":{"Value":1}}}`},
	{"reply", message.NewReply("1", message.CodeOK), `{"RequestID":"1","RetCode":0,"Message":"success"}`},
	{"property set", message.PropertySet{RequestID: "2", Property: map[string]json.RawMessage{"t": raw(`20`)}}, `{"RequestID":"2","Property":{"t":20}}`},
	{"property set reply", message.PropertySetReply{RequestID: "2"}, `{"RequestID":"2","RetCode":0}`},
	{"restore", message.Request{RequestID: "3"}, `{"RequestID":"3"}`},
	{"restore reply", message.RestoreReply{RequestID: "3", LatestUpdateTime: 5, Property: map[string]message.Value{"t": {Value: raw(`21.5`), Time: 5}}},
		`{"RetCode":0,"RequestID":"3","LatestUpdateTime":5,"Property":{"t":{"Value":21.5,"Time":5}}}`},
	{"restore reply, nothing", message.RestoreReply{RequestID: "3"}, `{"RetCode":0,"RequestID":"3","LatestUpdateTime":0,"Property":{}}`},
	{"desired get", message.DesiredGet{RequestID: "4", Require: []string{"t"}}, `{"RequestID":"4","Require":["t"]}`},
	{"desired get reply", message.DesiredGetReply{RequestID: "4", Desired: map[string]message.Desired{"t": {Value: raw(`20`), Version: 1}}},
		`{"RetCode":0,"RequestID":"4","Desired":{"t":{"Value":20,"Version":1}}}`},
	{"desired get reply, nothing", message.DesiredGetReply{RequestID: "4"}, `{"RetCode":0,"RequestID":"4","Desired":{}}`},
	{"desired delete", message.DesiredDelete{RequestID: "5", Delete: map[string]message.DesiredVersion{"t": {Version: 1}}},
		`{"RequestID":"5","Delete":{"t":{"Version":1}}}`},
	{"event post", message.EventPost{RequestID: "6", Identifier: "alarm", Output: raw(`{"code":3}`), Time: 7},
		`{"RequestID":"6","Identifier":"alarm","Output":{"code":3},"Time":7}`},
	{"event post without output", message.EventPost{RequestID: "6", Identifier: "alarm"}, `{"RequestID":"6","Identifier":"alarm","Output":{}}`},
	{"command", message.Command{RequestID: "7", Identifier: "down", Input: raw(`{"v":1}`)}, `{"RequestID":"7","Identifier":"down","Input":{"v":1}}`},
	{"command without input", message.Command{RequestID: "7", Identifier: "down"}, `{"RequestID":"7","Identifier":"down","Input":{}}`},
	{"command reply", message.CommandReply{RequestID: "7", Identifier: "down", Output: raw(`{"now":20}`)},
		`{"RequestID":"7","RetCode":0,"Identifier":"down","Output":{"now":20}}`},
	{"template reply", message.TemplateReply{RequestID: "8", Template: raw(`{"Property":[]}`)}, `{"RetCode":0,"RequestID":"8","Template":{"Property":[]}}`},
	{"password reply", message.NewPasswordReply("100", "s3cr3t"), `{"RetCode":"0","RequestID":"100","Password":"s3cr3t"}`},
	{"password refused", message.RefusePassword("100", message.CodeWrongSecret), `{"RetCode":"100014","RequestID":"100","Message":"wrong secret"}`},
	{"register", message.SubdevRequest{RequestID: "9", Params: []message.Subdev{{ProductSN: "p", DeviceSN: "d", ProductSecret: "s"}}},
		`{"RequestID":"9","Params":[{"ProductSN":"p","DeviceSN":"d","ProductSecret":"s"}]}`},
	{"register reply", message.SubdevReply{RequestID: "9", Data: []message.Subdev{{ProductSN: "p", DeviceSN: "d", DeviceSecret: "s"}}},
		`{"RequestID":"9","RetCode":0,"Data":[{"ProductSN":"p","DeviceSN":"d","DeviceSecret":"s"}]}`},
	{"topo get reply, nothing", message.SubdevReply{RequestID: "9", Data: message.NoSubdevs()}, `{"RequestID":"9","RetCode":0,"Data":[]}`},
	{"topo add reply", message.SubdevReply{RequestID: "9", RetCode: 230, Message: "bad parameter"}, `{"RequestID":"9","RetCode":230,"Message":"bad parameter"}`},
	{"status", message.NewStatus(device, true), `{"ProductSN":"70ly1tvowt696r15","DeviceSN":"dev-01","Status":"Online"}`},
	{"status offline", message.NewStatus(device, false), `{"ProductSN":"70ly1tvowt696r15","DeviceSN":"dev-01","Status":"Offline"}`},
	{"ntp request", message.NTPRequest{DeviceSendTime: 1}, `{"DeviceSendTime":1}`},
	{"ntp response", message.NTPResponse{DeviceSendTime: 1, ServerRecvTime: 2, ServerSendTime: 3}, `{"DeviceSendTime":1,"ServerRecvTime":2,"ServerSendTime":3}`},
}

func TestWire(t *testing.T) {
	for _, tt := range wire {
		t.Run(tt.name, func(t *testing.T) {
			b, err := codec.Marshal(codec.JSON, tt.msg)
			if err != nil || string(b) != tt.want {
				t.Errorf("Marshal = %s, %v, want %s", b, err, tt.want)
			}
			// CBOR says the same, and both are read back.
			c, err := codec.Marshal(codec.CBOR, tt.msg)
			if err != nil {
				t.Fatal(err)
			}
			same(t, b, c)
			for _, payload := range [][]byte{b, c} {
				out := reflect.New(reflect.TypeOf(tt.msg))
				if err := codec.Unmarshal(payload, out.Interface()); err != nil {
					t.Fatalf("Unmarshal(%q) = %v", payload, err)
				}
				if again, err := codec.Marshal(codec.JSON, out.Interface()); err != nil || string(again) != tt.want {
					t.Errorf("read back = %s, %v, want %s", again, err, tt.want)
				}
			}
		})
	}
}

func same(t *testing.T, a, b []byte) {
	t.Helper()
	x, err := codec.Decode(a, codec.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Release()
	y, err := codec.Decode(b, codec.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer y.Release()
	if !x.Root().Equal(y.Root()) {
		t.Errorf("CBOR says %s, JSON says %s", y.Root().AppendJSON(nil), a)
	}
}

func TestRequestID(t *testing.T) {
	tests := []struct {
		in   string
		want string
		code message.Code
	}{
		{`{"RequestID":"1"}`, "1", message.CodeOK},
		{`{"RequestID":"a b"}`, "a b", message.CodeOK},
		{`{"RequestID":15}`, "15", message.CodeOK},
		{`{"RequestID":-9223372036854775808}`, "-9223372036854775808", message.CodeOK},
		{`{}`, "", message.CodeMissing},
		{`{"RequestID":null}`, "", message.CodeMissing},
		{`{"RequestID":""}`, "", message.CodeMissing},
		{`{"RequestID":1.5}`, "", message.CodeBad},
		{`{"RequestID":true}`, "", message.CodeBad},
		{`{"RequestID":["1"]}`, "", message.CodeBad},
		{`{"RequestID":"` + strings.Repeat("x", 65) + `"}`, "", message.CodeBad},
	}
	for _, tt := range tests {
		d, err := codec.Decode([]byte(tt.in), codec.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got, code := message.RequestIDOf(d.Root())
		if got != tt.want || code != tt.code {
			t.Errorf("RequestIDOf(%s) = %q, %d, want %q, %d", tt.in, got, code, tt.want, tt.code)
		}
		var r message.Request
		err = codec.Unmarshal([]byte(tt.in), &r)
		if bad := tt.code == message.CodeBad; (err != nil) != bad || !bad && string(r.RequestID) != tt.want {
			t.Errorf("Unmarshal(%s) = %q, %v", tt.in, r.RequestID, err)
		}
		d.Release()
	}
}

func TestAppendReply(t *testing.T) {
	tests := []struct {
		id   string
		code message.Code
		text string
		want string
	}{
		{"1", message.CodeOK, "", `{"RequestID":"1","RetCode":0,"Message":"success"}`},
		{`a"b`, message.CodeRange, `t: "x" {1} [2] \ ` + "\n", `{"RequestID":"a\"b","RetCode":220,"Message":"t: 'x' (1) (2) /  "}`},
	}
	for _, tt := range tests {
		if got := string(message.AppendReply(nil, tt.id, tt.code, tt.text)); got != tt.want {
			t.Errorf("AppendReply = %s, want %s", got, tt.want)
		}
	}
	if got := message.Plain("a\"b\xff{}"); got != "a'b?()" {
		t.Errorf("Plain = %q", got)
	}
	buf := make([]byte, 0, 128)
	if n := testing.AllocsPerRun(100, func() { buf = message.AppendReply(buf[:0], "1", message.CodeOK, "") }); n != 0 {
		t.Errorf("AppendReply allocates %v times", n)
	}
}

func TestCodes(t *testing.T) {
	seen := 0
	for c := message.Code(0); c < 101_000; c++ {
		text := c.Text()
		if strings.HasPrefix(text, "error ") {
			continue
		}
		seen++
		if c != 0 && c%256 == 0 {
			t.Errorf("code %d looks like success to a device that keeps 8 bits", c)
		}
		if text == "" || text != message.Plain(text) {
			t.Errorf("text of %d is %q", c, text)
		}
	}
	if seen != 28 {
		t.Errorf("%d codes have texts, want 28", seen)
	}
	if got := message.Code(99).Text(); got != "error 99" {
		t.Errorf("Text = %q", got)
	}
}

func FuzzRequestID(f *testing.F) {
	f.Add(`"1"`)
	f.Add(`15`)
	f.Fuzz(func(t *testing.T, s string) {
		var id message.RequestID
		if err := json.Unmarshal([]byte(s), &id); err != nil || id == "" {
			return
		}
		b, err := json.Marshal(id)
		var again message.RequestID
		if err != nil || json.Unmarshal(b, &again) != nil || again != id {
			t.Errorf("%s becomes %q, written %s and read back as %q", s, id, b, again)
		}
	})
}

func TestStatusJSON(t *testing.T) {
	for _, online := range []bool{true, false} {
		s := message.NewStatus(ident.Device{Product: "70ly1tvowt696r15", SN: `cellar-1"\é`}, online)
		want, err := codec.Marshal(codec.JSON, s)
		if got := s.AppendJSON([]byte("x")); err != nil || string(got) != "x"+string(want) {
			t.Errorf("%s, want x%s, %v", got, want, err)
		}
	}
}
