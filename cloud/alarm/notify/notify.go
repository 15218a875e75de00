// Package notify brings messages of alarms to people: a webhook that is signed, mail, and the hooks of chats (Slack, Microsoft Teams, WeCom,
// DingTalk, Feishu or Lark).
//
// Everything goes through the guarded way out that rules use: to no address of the hub's own machine or link, unless the hub's configuration
// allows it, over no proxy, and no redirect is followed. No error has a URL in it, those of chats are secrets. It leaves to cloud/alarm when
// something is sent, and how often it is tried.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/alarm"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/httpconn"
)

// Kinds are the kinds of channel that there are, over the way out.
func Kinds(out rules.Outbound) map[string]alarm.Kind {
	secretURL := []string{"url"}
	return map[string]alarm.Kind{
		"webhook":  {Secrets: []string{"secret"}, Address: []string{"url"}, Open: webhook(out)},
		"smtp":     {Secrets: []string{"password"}, Address: []string{"host", "port"}, Open: mail(out)},
		"slack":    {Secrets: secretURL, Open: chat(out, slackBody, plainAnswer)},
		"teams":    {Secrets: secretURL, Open: chat(out, teamsBody, nil)},
		"wecom":    {Secrets: secretURL, Open: chat(out, wecomBody, codeAnswer("errcode", "errmsg"))},
		"dingtalk": {Secrets: []string{"url", "secret"}, Open: chat(out, dingtalkBody, codeAnswer("errcode", "errmsg"))},
		"feishu":   {Secrets: []string{"url", "secret"}, Open: chat(out, feishuBody, codeAnswer("code", "msg"))},
	}
}

// read is a strict reading of a configuration.
func read(config []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// hook is where a message is posted.
type hook struct {
	URL    string `json:"url"`
	Secret string `json:"secret,omitempty"`
}

// body makes a message's request for a chat. It may change the URL of r.
type body func(h *hook, m *alarm.Message, now time.Time, r *http.Request) any

// answer tells from an answer of 2xx whether the message has arrived; nil takes all.
type answer func(body []byte) error

// chat is a chat's hook.
func chat(out rules.Outbound, make body, check answer) func([]byte) (alarm.Sender, error) {
	return func(config []byte) (alarm.Sender, error) {
		var h hook
		if err := read(config, &h); err != nil {
			return nil, err
		}
		conn, err := httpconn.New(h.URL, httpconn.TLS{}, http.Header{"Content-Type": {"application/json"}}, out)
		if err != nil {
			return nil, err
		}
		return &chatSender{hook: h, conn: conn, make: make, check: check}, nil
	}
}

type chatSender struct {
	hook
	conn  *httpconn.Conn
	make  body
	check answer
}

const answerMost = 4 << 10

// Send implements alarm.Sender.
func (s *chatSender) Send(ctx context.Context, m alarm.Message) error {
	defer func() { _ = s.conn.Close() }() // idle connections: the next message is long in coming
	return post(ctx, s.conn, func(r *http.Request) any { return s.make(&s.hook, &m, time.Now(), r) }, s.check)
}

// post sends what make makes as JSON.
func post(ctx context.Context, conn *httpconn.Conn, make func(r *http.Request) any, check answer) error {
	u := *conn.URL()
	first, err := httpconn.NewRequest(ctx, http.MethodPost, &u, nil)
	if err != nil {
		return err
	}
	b, err := json.Marshal(make(first))
	if err != nil {
		return err
	}
	req, err := httpconn.NewRequest(ctx, http.MethodPost, first.URL, b)
	if err != nil {
		return err
	}
	for name, values := range first.Header {
		req.Header[name] = values
	}
	resp, got, err := conn.Do(req, answerMost)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		e := httpconn.NewStatusError(resp)
		e.Reason = strings.ToValidUTF8(strings.TrimSpace(string(got[:min(len(got), 200)])), "")
		return e
	}
	if check == nil {
		return nil
	}
	return check(got)
}

// plainAnswer is "ok".
func plainAnswer(b []byte) error {
	if text := strings.TrimSpace(string(b)); text != "ok" && text != "" {
		return fmt.Errorf("the chat answered %q", text[:min(len(text), 200)])
	}
	return nil
}

// codeAnswer is an object in which code is 0.
func codeAnswer(code, text string) answer {
	return func(b []byte) error {
		var got map[string]any
		if err := json.Unmarshal(b, &got); err != nil {
			return errors.New("the chat's answer is no JSON")
		}
		if n, ok := got[code].(float64); ok && n != 0 {
			return fmt.Errorf("the chat refused it with %v: %v", n, got[text])
		}
		return nil
	}
}
