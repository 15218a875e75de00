package registry

import (
	"encoding/json"
	"fmt"
)

// Settings are what a product sets for its devices instead of the hub's defaults; a nil field is the hub's.
type Settings struct {
	PublishRate      *float64 `json:"publishRate,omitempty"`      // messages a second a connection
	PublishBytes     *int64   `json:"publishBytes,omitempty"`     // bytes a second a connection
	MaxPacket        *int64   `json:"maxPacket,omitempty"`        // bytes of topic and payload of a publish, within the hub's own bound
	MaxSubscriptions *int64   `json:"maxSubscriptions,omitempty"` // filters a device, within the hub's own bound
	QoS2             *bool    `json:"qos2,omitempty"`             // false: QoS 2 is refused
	Retain           *bool    `json:"retain,omitempty"`           // false: retained messages are refused
	Will             *bool    `json:"will,omitempty"`             // false: a connection with a will is refused
	ShadowMerge      *bool    `json:"shadowMerge,omitempty"`      // true: nested objects of a shadow merge key by key
	MessageLog       *string  `json:"messageLog,omitempty"`       // off, errors or all: what the message log keeps
	SubdeviceProof   *bool    `json:"subdeviceProof,omitempty"`   // true: a gateway must prove that it knows a sub-device's secret
	SubdeviceConsent *bool    `json:"subdeviceConsent,omitempty"` // true: an operator must consent before a gateway gets a sub-device
	HistoryDays      *int64   `json:"historyDays,omitempty"`      // how far back property values are shown; 0: none are kept
	HistoryCount     *int64   `json:"historyCount,omitempty"`     // how many values of each property are shown
}

// Bounds of settings.
const (
	MaxPublishRate      = 100_000
	MaxPublishBytes     = 1 << 30
	MinPacket           = 128
	MaxPacket           = 16 << 20
	MaxSubscriptionsSet = 10_000
	MaxHistoryDays      = 3650
	MaxHistoryCount     = 1_000_000
)

func (s *Settings) validate() error {
	if r := s.PublishRate; r != nil && (*r < 0.01 || *r > MaxPublishRate || *r != *r) {
		return &ErrInvalid{"settings.publishRate", fmt.Sprintf("must be 0.01 to %d messages a second", MaxPublishRate)}
	}
	for _, bound := range []struct {
		field       string
		value       *int64
		least, most int64
	}{
		{"publishBytes", s.PublishBytes, 1024, MaxPublishBytes},
		{"maxPacket", s.MaxPacket, MinPacket, MaxPacket},
		{"maxSubscriptions", s.MaxSubscriptions, 1, MaxSubscriptionsSet},
		{"historyDays", s.HistoryDays, 0, MaxHistoryDays},
		{"historyCount", s.HistoryCount, 1, MaxHistoryCount},
	} {
		if v := bound.value; v != nil && (*v < bound.least || *v > bound.most) {
			return &ErrInvalid{"settings." + bound.field, fmt.Sprintf("must be %d to %d", bound.least, bound.most)}
		}
	}
	if m := s.MessageLog; m != nil && *m != "off" && *m != "errors" && *m != "all" {
		return &ErrInvalid{"settings.messageLog", "must be off, errors or all"}
	}
	return nil
}

// encode is the stored form, "" for nothing of the product's own.
func (s *Settings) encode() (string, error) {
	if s == nil || *s == (Settings{}) {
		return "", nil
	}
	if err := s.validate(); err != nil {
		return "", err
	}
	b, err := json.Marshal(s)
	return string(b), err
}

func decodeSettings(text string) (s Settings, err error) {
	if text != "" {
		err = json.Unmarshal([]byte(text), &s)
	}
	return s, err
}

// Allows tells what a switch says, for a hub that has it on.
func Allows(switched *bool) bool { return switched == nil || *switched }
