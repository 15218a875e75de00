package mongowire

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

const iterations = 15000

// session is what is known of who is at the other end of a connection.
type session struct {
	in    bool
	user  string
	salt  []byte
	first string // client-first-bare and server-first, as they are signed
	nonce string
}

var errLogin = fail(18, "AuthenticationFailed", "Authentication failed.")

// sasl is SCRAM-SHA-256 (RFC 5802, RFC 7677).
func (s *Server) sasl(c *command, st *session) bson.D {
	_, payload, _ := c.body.Lookup("payload").BinaryOK()
	if c.name == "saslStart" {
		if c.text("mechanism") != "SCRAM-SHA-256" {
			return fail(2, "BadValue", "only SCRAM-SHA-256 is known")
		}
		bare, ok := strings.CutPrefix(string(payload), "n,,")
		f := attributes(bare)
		if !ok || f["r"] == "" {
			return errLogin
		}
		*st = session{user: f["n"], salt: random(16), nonce: f["r"] + base64.StdEncoding.EncodeToString(random(12))}
		answer := "r=" + st.nonce + ",s=" + base64.StdEncoding.EncodeToString(st.salt) + ",i=15000"
		st.first = bare + "," + answer
		return saslAnswer(answer, false)
	}
	if st.in { // the empty last step of a client that does not skip it
		return saslAnswer("", true)
	}
	without, _, _ := strings.Cut(string(payload), ",p=")
	f := attributes(string(payload))
	proof, err := base64.StdEncoding.DecodeString(f["p"])
	salted, kerr := pbkdf2.Key(sha256.New, s.opt.Password, st.salt, iterations, sha256.Size)
	if err != nil || kerr != nil || st.nonce == "" || f["r"] != st.nonce {
		return errLogin
	}
	key := sum(salted, "Client Key")
	stored := sha256.Sum256(key)
	signed := st.first + "," + without
	want := sum(stored[:], signed)
	subtle.XORBytes(want, want, key)
	if st.user != s.opt.User || !bytes.Equal(proof, want) {
		return errLogin
	}
	st.in = true
	return saslAnswer("v="+base64.StdEncoding.EncodeToString(sum(sum(salted, "Server Key"), signed)), true)
}

func saslAnswer(payload string, done bool) bson.D {
	return bson.D{{Key: "conversationId", Value: int32(1)}, {Key: "done", Value: done},
		{Key: "payload", Value: bson.Binary{Data: []byte(payload)}}, {Key: "ok", Value: 1.0}}
}

// attributes takes "a=x,b=y" apart.
func attributes(s string) map[string]string {
	m := map[string]string{}
	for part := range strings.SplitSeq(s, ",") {
		if k, v, ok := strings.Cut(part, "="); ok {
			m[k] = v
		}
	}
	return m
}

func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(text)) // never fails
	return h.Sum(nil)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
