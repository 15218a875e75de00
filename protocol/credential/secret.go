package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"

	"github.com/hawser-iot/hawser/protocol/ident"
)

const redacted = "**redacted**"

// Secret is a DeviceSecret or ProductSecret. However it is printed, logged or marshalled, it reads "**redacted**"; only
// Reveal gives the text. Package fmt can't keep that promise for an unexported field of a struct that is printed whole:
// don't print such structs.
type Secret string

var (
	_ fmt.Formatter  = Secret("")
	_ slog.LogValuer = Secret("")
)

// NewSecret returns a random secret of 16 characters of a-z0-9: stock clients hold it in a buffer of 16 bytes.
func NewSecret() Secret { return Secret(ident.Random()) }

// Reveal returns the secret itself. Whoever calls it must see to it that the text reaches no log.
func (s Secret) Reveal() string { return string(s) }

// Equal reports whether other is the secret, in a time that depends on the lengths only. An empty secret equals nothing.
func (s Secret) Equal(other string) bool {
	return s != "" && subtle.ConstantTimeCompare([]byte(s), []byte(other)) == 1
}

// String returns "**redacted**".
func (Secret) String() string { return redacted }

// GoString returns "**redacted**".
func (Secret) GoString() string { return redacted }

// Format writes "**redacted**" whatever the verb is, %x and %q included.
func (Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, redacted) // a fmt.State reports its errors through its own writer
}

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "**redacted**" and so covers JSON, YAML and map keys.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns "**redacted**" as a JSON string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// SignBody returns the lower-case hex HMAC-SHA256 of body under s: the Authorization of /auth and of the upload URL.
func SignBody(s Secret, body []byte) string { return hex.EncodeToString(sum(s, body)) }

// VerifyBody reports whether sig is SignBody(s, body), in either case of hex, comparing in constant time.
// An empty secret verifies nothing.
func VerifyBody(s Secret, body []byte, sig string) bool {
	got, err := hex.DecodeString(sig)
	return err == nil && s != "" && hmac.Equal(got, sum(s, body))
}

// SignLogin returns the password of authmode 3: the hex HMAC-SHA256 of the client id, a newline and the timestamp as
// the login options hold it (Unix seconds, or "n:" and a nonce).
func SignLogin(s Secret, clientID, timestamp string) string {
	return SignBody(s, []byte(clientID+"\n"+timestamp))
}

// VerifyLogin reports whether password is SignLogin(s, clientID, timestamp), in constant time. Whether the timestamp is
// recent, or the nonce unused, is for the caller to check.
func VerifyLogin(s Secret, clientID, timestamp, password string) bool {
	return VerifyBody(s, []byte(clientID+"\n"+timestamp), password)
}

// SignSubdev returns the Sign with which a gateway proves that it knows a sub-device's secret: the hex HMAC-SHA256 of its
// ProductSN, a dot and its DeviceSN.
func SignSubdev(s Secret, sub ident.Device) string {
	return SignBody(s, []byte(sub.Product+"."+sub.SN))
}

// VerifySubdev reports whether sign is SignSubdev(s, sub), in constant time.
func VerifySubdev(s Secret, sub ident.Device, sign string) bool {
	return VerifyBody(s, []byte(sub.Product+"."+sub.SN), sign)
}

func sum(s Secret, b []byte) []byte {
	mac := hmac.New(sha256.New, []byte(s))
	mac.Write(b)
	return mac.Sum(nil)
}
