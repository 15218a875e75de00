package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/alarm"
)

// object is JSON in the making.
type object = map[string]any

// words are a message as one text.
func words(m *alarm.Message) string { return m.Title() + "\n" + strings.TrimSpace(m.Body()) }

// slackEscape keeps Slack from reading links and mentions out of texts that devices have written.
var slackEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func slackBody(_ *hook, m *alarm.Message, _ time.Time, _ *http.Request) any {
	return object{"text": slackEscape.Replace(words(m))}
}

var teamsColors = map[alarm.Severity]string{alarm.Critical: "attention", alarm.Major: "attention", alarm.Minor: "warning", alarm.Warning: "accent"}

// teamsBody is an Adaptive Card, as the workflows of Teams take it. Its texts are Markdown: what would make it something else is escaped.
func teamsBody(_ *hook, m *alarm.Message, _ time.Time, _ *http.Request) any {
	escape := strings.NewReplacer("[", `\[`, "]", `\]`, "*", `\*`, "_", `\_`, "\n", "\n\n").Replace
	return object{"type": "message", "attachments": []object{{
		"contentType": "application/vnd.microsoft.card.adaptive",
		"content": object{"type": "AdaptiveCard", "version": "1.4", "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "body": []object{
			{"type": "TextBlock", "text": escape(m.Title()), "weight": "bolder", "wrap": true, "color": teamsColors[m.Severity()]},
			{"type": "TextBlock", "text": escape(strings.TrimSpace(m.Body())), "wrap": true},
		}},
	}}}
}

func wecomBody(_ *hook, m *alarm.Message, _ time.Time, _ *http.Request) any {
	const most = 2048 // bytes that WeCom takes
	text := words(m)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most-4], "") + "…"
	}
	return object{"msgtype": "text", "text": object{"content": text}}
}

// dingtalkBody signs, when there is a secret, with timestamp and sign in the query: base64 of HMAC-SHA256(secret, timestamp + "\n" + secret),
// the timestamp in milliseconds.
func dingtalkBody(h *hook, m *alarm.Message, now time.Time, r *http.Request) any {
	if h.Secret != "" {
		stamp := strconv.FormatInt(now.UnixMilli(), 10)
		q := r.URL.Query()
		q.Set("timestamp", stamp)
		q.Set("sign", mac(h.Secret, stamp+"\n"+h.Secret))
		r.URL.RawQuery = q.Encode()
	}
	return object{"msgtype": "text", "text": object{"content": words(m)}}
}

// feishuBody signs, when there is a secret, with timestamp and sign in the body: base64 of HMAC-SHA256(timestamp + "\n" + secret, ""), the
// timestamp in seconds.
func feishuBody(h *hook, m *alarm.Message, now time.Time, _ *http.Request) any {
	b := object{"msg_type": "text", "content": object{"text": words(m)}}
	if h.Secret != "" {
		stamp := strconv.FormatInt(now.Unix(), 10)
		b["timestamp"], b["sign"] = stamp, mac(stamp+"\n"+h.Secret, "")
	}
	return b
}

func mac(key, text string) string {
	h := hmac.New(sha256.New, []byte(key))
	_, _ = h.Write([]byte(text)) // a hash takes everything
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}
