// Package mqttconform holds an MQTT server to the normative statements of MQTT 3.1.1 and MQTT 5.0, each by its number: to every
// statement that concerns a server belongs a check, or the reason why there can be none. A check speaks to the server over TCP
// or WebSocket through a wire client of this package, which shares no code with the servers that it judges and can say wrong things.
//
// The statements are in statements311.go and statements50.go in the words of this project; the standards' own words count. Tests run
// the checks against our engine with a plain broker as its owner, against a hub where a device's permissions allow it, and against
// mosquitto, which judges the checks in turn.
package mqttconform

import "time"

// check exercises a server; it returns when the statements it stands for hold, and ends the run otherwise.
type check func(*run)

// Statement is one normative statement.
type Statement struct {
	Number string // "3.1.2-4" for [MQTT-3.1.2-4]
	What   string // in short
	check  check
	Reason string // why there is no check
}

// Why there is no check for a statement.
const (
	clientOnly  = "binds the client"
	neverRefuse = "binds servers that lack the feature; ours and mosquitto have it"
)

// Statements returns the statements of a version, "3.1.1" or "5.0".
func Statements(version string) []Statement {
	if version == "5.0" {
		return statements50
	}
	return statements311
}

func levelOf(version string) byte {
	if version == "5.0" {
		return v5
	}
	return v311
}

// How says how a check speaks to its target.
type How struct {
	WebSocket bool
	Patience  time.Duration // how long it waits for what must come
}

// Judge runs a statement's check of a version against a target; it returns what is wrong, "" when the statement holds, and why
// the check was left out, which only a restricted target causes.
func (s Statement) Judge(version string, t Target, how How) (wrong, leftOut string) {
	r := &run{target: t, level: levelOf(version), webSocket: how.WebSocket, patience: how.Patience}
	return r.try(s.check)
}

// Checked reports whether the statement has a check.
func (s Statement) Checked() bool { return s.check != nil }
