package credential_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

var device = ident.Device{Product: "70ly1tvowt696r15", SN: "dev-01"}

func TestSecretNeverPrints(t *testing.T) {
	const text = "k3v6w1z9k3v6w1z9"
	s := credential.Secret(text)
	holder := struct {
		S credential.Secret
		P *credential.Secret
		M map[string]credential.Secret
	}{s, &s, map[string]credential.Secret{"k": s}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", holder.M)
	}
	fmt.Fprintf(&out, "%v %+v %#v", holder, holder, holder)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("login", "secret", s, "holder", holder)
	slog.New(slog.NewTextHandler(&out, nil)).Info("login", "secret", s, "holder", holder)
	if err := json.NewEncoder(&out).Encode(holder); err != nil {
		t.Fatal(err)
	}
	hidden := fmt.Sprintf("%x", text)
	if got := out.String(); strings.Contains(got, text) || strings.Contains(strings.ToLower(got), hidden) {
		t.Errorf("the secret was printed:\n%s", got)
	}
	if got := s.String(); got != "**redacted**" {
		t.Errorf("String = %q", got)
	}
	if got := s.Reveal(); got != text {
		t.Errorf("Reveal = %q", got)
	}
}

func TestNewSecret(t *testing.T) {
	a, b := credential.NewSecret(), credential.NewSecret()
	if len(a) != 16 || a == b {
		t.Errorf("secrets of %d characters, equal: %v", len(a), a == b)
	}
}

func TestEqual(t *testing.T) {
	s := credential.Secret("k3v6w1z9k3v6w1z9")
	if !s.Equal("k3v6w1z9k3v6w1z9") || s.Equal("k3v6w1z9k3v6w1z8") || s.Equal("") || credential.Secret("").Equal("") {
		t.Error("Equal is wrong")
	}
}

// The expected values were computed with openssl dgst -sha256 -hmac.
func TestSignatures(t *testing.T) {
	const secret, body = credential.Secret("k3v6w1z9k3v6w1z9"), `{"ProductSN":"70ly1tvowt696r15","DeviceSN":"dev-01"}`
	sig := credential.SignBody(secret, []byte(body))
	if want := "edbe315d5becd5792b9f876dcf74d77d69df16be9107ec955439cad3265ad6e1"; sig != want {
		t.Errorf("SignBody = %s, want %s", sig, want)
	}
	login := credential.SignLogin(secret, device.ClientID(), "1700000000")
	if want := "a0a633486a017741c847977629e82426de1ddccd4a712acf4ec41ce6df890ac3"; login != want {
		t.Errorf("SignLogin = %s, want %s", login, want)
	}
	if !credential.VerifyLogin(secret, device.ClientID(), "1700000000", login) || credential.VerifyLogin(secret, device.ClientID(), "1700000001", login) {
		t.Error("VerifyLogin is wrong")
	}
	sub := credential.SignSubdev(secret, device)
	if want := "3a9688f74c7d90671a9fa9578aeb7097e843c31c8d8641a66ad227e37417d72c"; sub != want {
		t.Errorf("SignSubdev = %s, want %s", sub, want)
	}
	if !credential.VerifySubdev(secret, device, sub) || credential.VerifySubdev("x", device, sub) || credential.VerifySubdev(secret, device, "") {
		t.Error("VerifySubdev is wrong")
	}
	tests := []struct {
		name   string
		secret credential.Secret
		body   string
		sig    string
		want   bool
	}{
		{"right", secret, body, sig, true},
		{"upper case", secret, body, strings.ToUpper(sig), true},
		{"other body", secret, body + " ", sig, false},
		{"other secret", "x", body, sig, false},
		{"cut", secret, body, sig[:62], false},
		{"empty", secret, body, "", false},
		{"no hex", secret, body, strings.Repeat("z", 64), false},
		{"empty secret", "", body, credential.SignBody("", []byte(body)), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := credential.VerifyBody(tt.secret, []byte(tt.body), tt.sig); got != tt.want {
				t.Errorf("VerifyBody = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestParseUserName(t *testing.T) {
	tests := []struct {
		name, in string
		want     credential.Login
	}{
		{"secret", "70ly1tvowt696r15|dev-01|1", credential.Login{Device: device, Mode: credential.ModeSecret}},
		{"register", "70ly1tvowt696r15|dev-01|2", credential.Login{Device: device, Mode: credential.ModeRegister}},
		{"CBOR", "70ly1tvowt696r15|dev-01|1|enc=cbor", credential.Login{Device: device, Mode: credential.ModeSecret, Options: credential.Options{CBOR: true}}},
		{"all options", "70ly1tvowt696r15|dev-01|3|enc=cbor,buf=4096,ts=1700000000,fw=suit", credential.Login{Device: device, Mode: credential.ModeHMAC,
			Options: credential.Options{CBOR: true, Buffer: 4096, Timestamp: "1700000000", SUIT: true}}},
		{"nonce", "70ly1tvowt696r15|dev-01|3|ts=n:Zm9v=", credential.Login{Device: device, Mode: credential.ModeHMAC, Options: credential.Options{Timestamp: "n:Zm9v="}}},
		{"certificate", "70ly1tvowt696r15|dev-01|x509", credential.Login{Device: device, Mode: credential.ModeX509}},
		{"application", "app|key_1", credential.Login{Mode: credential.ModeApp, APIKey: "key_1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := credential.ParseUserName(tt.in)
			if err != nil || got != tt.want {
				t.Errorf("ParseUserName = %+v, %v, want %+v", got, err, tt.want)
			}
			if back := got.UserName(); back != tt.in {
				t.Errorf("UserName = %q, want %q", back, tt.in)
			}
		})
	}
}

func TestParseUserNameLenient(t *testing.T) {
	got, err := credential.ParseUserName("70ly1tvowt696r15|dev-01|1|new=thing;enc=cbor&buf=4096,,x")
	want := credential.Login{Device: device, Mode: credential.ModeSecret, Options: credential.Options{CBOR: true, Buffer: 4096}}
	if err != nil || got != want {
		t.Errorf("ParseUserName = %+v, %v, want %+v", got, err, want)
	}
}

func TestParseUserNameErrors(t *testing.T) {
	for in, want := range map[string]error{
		"": credential.ErrUserName, "user": credential.ErrUserName, "70ly1tvowt696r15|dev-01": credential.ErrUserName,
		strings.Repeat("x", 600):                   credential.ErrUserName,
		"70ly1tvowt696r15|dev-01|":                 credential.ErrMode,
		"70ly1tvowt696r15|dev-01|4":                credential.ErrMode,
		"70ly1tvowt696r15|dev-01|app":              credential.ErrMode,
		"app|":                                     credential.ErrAPIKey,
		"app|a b":                                  credential.ErrAPIKey,
		"70ly1tvowt696r15|dev-01|1|buf=":           credential.ErrOption,
		"70ly1tvowt696r15|dev-01|1|buf=-1":         credential.ErrOption,
		"70ly1tvowt696r15|dev-01|1|buf=9999999999": credential.ErrOption,
		"70ly1tvowt696r15|dev-01|3|ts=":            credential.ErrOption,
	} {
		if _, err := credential.ParseUserName(in); !errors.Is(err, want) {
			t.Errorf("ParseUserName(%q) = %v, want %v", in, err, want)
		}
	}
	var e *ident.Error
	if _, err := credential.ParseUserName("70ly1tvowt696r15|d|1"); !errors.As(err, &e) || e.Field != ident.FieldDeviceSN {
		t.Errorf("a short DeviceSN gives %v", err)
	}
}

func FuzzParseUserName(f *testing.F) {
	f.Add("70ly1tvowt696r15|dev-01|3|enc=cbor,buf=4096,ts=1700000000,fw=suit")
	f.Add("app|key_1")
	f.Add("||||")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := credential.ParseUserName(s)
		if err != nil {
			return
		}
		again, err := credential.ParseUserName(l.UserName())
		if err != nil || again != l {
			t.Errorf("%q gives %+v, its user name %q gives %+v, %v", s, l, l.UserName(), again, err)
		}
	})
}
