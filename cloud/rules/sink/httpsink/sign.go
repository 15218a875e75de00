package httpsink

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	maxSecrets = 2
	minSecret  = 16 // bytes
	maxSecret  = 256
)

// Sign is the value of Hawser-Signature for a body that is sent at now: t=UNIX SECONDS and, for each secret, v1=HEX of
// HMAC-SHA256(secret, t + "." + body). The body is signed as it is before compression. A receiver takes a request when one of the signatures
// fits the secret that it has and t is not long ago; so a secret is changed by sending both for a while.
func Sign(secrets []string, now time.Time, body []byte) string {
	stamp := strconv.FormatInt(now.Unix(), 10)
	out := "t=" + stamp
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		_, _ = mac.Write([]byte(stamp + ".")) // a hash takes everything
		_, _ = mac.Write(body)
		out += ",v1=" + hex.EncodeToString(mac.Sum(nil))
	}
	return out
}

func checkSecrets(secrets []string) error {
	if len(secrets) > maxSecrets {
		return fmt.Errorf("signingSecrets: there may be at most %d, the one that is and the one that was or will be", maxSecrets)
	}
	for _, s := range secrets {
		if len(s) < minSecret || len(s) > maxSecret {
			return fmt.Errorf("signingSecrets: each has %d to %d bytes", minSecret, maxSecret)
		}
	}
	if len(secrets) == 2 && secrets[0] == secrets[1] {
		return errors.New("signingSecrets: both are the same")
	}
	return nil
}
