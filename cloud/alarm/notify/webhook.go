package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/alarm"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/httpconn"
)

// minSecret is the shortest secret of a webhook in bytes.
const minSecret = 16

// webhook posts a message as JSON, with an Idempotency-Key and, when there is a secret, Hawser-Signature as the HTTP sink of rules has it:
// t=UNIX SECONDS,v1=HEX of HMAC-SHA256(secret, t + "." + body).
func webhook(out rules.Outbound) func([]byte) (alarm.Sender, error) {
	return func(config []byte) (alarm.Sender, error) {
		var h hook
		if err := read(config, &h); err != nil {
			return nil, err
		}
		if h.Secret != "" && len(h.Secret) < minSecret {
			return nil, fmt.Errorf("secret: has %d bytes at least", minSecret)
		}
		conn, err := httpconn.New(h.URL, httpconn.TLS{}, http.Header{"Content-Type": {"application/json"}}, out)
		if err != nil {
			return nil, err
		}
		return &webhookSender{h, conn}, nil
	}
}

type webhookSender struct {
	hook
	conn *httpconn.Conn
}

// event is an alarm as a webhook gets it.
type event struct {
	AlarmID   string    `json:"alarmID"`
	RuleID    string    `json:"ruleID"`
	RuleName  string    `json:"ruleName"`
	Severity  string    `json:"severity"`
	State     string    `json:"state"` // open or cleared
	ProductSN string    `json:"productSN,omitempty"`
	DeviceSN  string    `json:"deviceSN,omitempty"`
	Text      string    `json:"text"`
	Value     string    `json:"value,omitempty"`
	Seen      int64     `json:"seen"`
	OpenedAt  time.Time `json:"openedAt"`
	ClearedAt time.Time `json:"clearedAt,omitzero"`
}

func events(m *alarm.Message) []event {
	list := make([]event, 0, len(m.Notices))
	for _, n := range m.Notices {
		e := event{AlarmID: strconv.FormatInt(n.ID, 10), RuleID: strconv.FormatInt(n.Rule, 10), RuleName: n.RuleName, Severity: n.Severity.String(),
			State: "open", ProductSN: n.Product, DeviceSN: n.Device, Text: n.Text, Value: n.Value, Seen: n.Seen, OpenedAt: n.Opened}
		if n.Over {
			e.State, e.ClearedAt = "cleared", n.Cleared
		}
		list = append(list, e)
	}
	return list
}

// Send implements alarm.Sender.
func (s *webhookSender) Send(ctx context.Context, m alarm.Message) error {
	defer func() { _ = s.conn.Close() }() // idle connections
	b, err := json.Marshal(object{"title": m.Title(), "project": m.Project, "test": m.Test, "time": m.At, "alarms": events(&m), "more": m.More})
	if err != nil {
		return err
	}
	req, err := httpconn.NewRequest(ctx, http.MethodPost, s.conn.URL(), b)
	if err != nil {
		return err
	}
	if m.ID != 0 {
		req.Header.Set("Idempotency-Key", strconv.FormatInt(m.ID, 10))
	}
	if s.Secret != "" {
		req.Header.Set("Hawser-Signature", sign(s.Secret, time.Now(), b))
	}
	resp, got, err := s.conn.Do(req, answerMost)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		e := httpconn.NewStatusError(resp)
		e.Reason = strings.ToValidUTF8(strings.TrimSpace(string(got[:min(len(got), 200)])), "")
		return e
	}
	return nil
}

func sign(secret string, now time.Time, body []byte) string {
	stamp := strconv.FormatInt(now.Unix(), 10)
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = h.Write([]byte(stamp + ".")) // a hash takes everything
	_, _ = h.Write(body)
	return "t=" + stamp + ",v1=" + hex.EncodeToString(h.Sum(nil))
}

// errAddress is an address that cannot stand in a mail.
var errAddress = errors.New("is no mail address")
