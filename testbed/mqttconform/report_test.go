package mqttconform

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

const reportFile = "../../docs/mqtt-conformance.md"

var update = flag.Bool("update", false, "write "+reportFile)

// TestReport keeps docs/mqtt-conformance.md true: it is made of the tables that the other tests hold the targets to.
//
//	go test ./testbed/mqttconform -run TestReport -update
func TestReport(t *testing.T) {
	want := report()
	if *update {
		must(t, os.WriteFile(reportFile, []byte(want), 0o644))
	}
	got, err := os.ReadFile(reportFile)
	must(t, err)
	if string(got) != want {
		t.Errorf("%s is out of date: go test ./testbed/mqttconform -run TestReport -update", reportFile)
	}
}

const preface = `# MQTT conformance, statement by statement

Every normative statement of MQTT 3.1.1 and MQTT 5.0 by its number (the standard's [MQTT-x.y.z-n]), in short words of ours; the
standard's own words count. The suite is ` + "`testbed/mqttconform`" + `. It speaks with a wire client of its own to our engine with a plain
broker as its owner, and to mosquitto 2.0.11, which judges the suite in turn. "holds" means that the check passes; otherwise the
table says what happens instead, or why there is no check. A server that holds all this is still only as good as the checks are.
The checks that a device's permissions allow run against a real hub, too (TestHub).

This page is written by ` + "`go test ./testbed/mqttconform -run TestReport -update`" + ` from the tables that
` + "`go test ./testbed/mqttconform`" + ` holds both servers to.
`

func report() string {
	var b strings.Builder
	b.WriteString(preface)
	for _, version := range versions {
		fmt.Fprintf(&b, "\n## MQTT %s\n\n%s\n", version, summary(version))
		b.WriteString("\n| number | what | ours | mosquitto |\n| --- | --- | --- | --- |\n")
		for _, s := range Statements(version) {
			ours, peer := result(version, s, missing), result(version, s, deviations)
			if s.NeedsMethod() {
				peer = "has no method"
			}
			if !s.Checked() {
				ours, peer = "no check: "+s.Reason, ""
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.Number, s.What, ours, peer)
		}
	}
	return b.String()
}

// result is what a server makes of a statement, by the table of what it lacks.
func result(version string, s Statement, known map[string]string) string {
	for _, key := range []string{version, version + " " + s.Number} {
		if why, ok := known[key]; ok {
			return "**no**: " + why
		}
	}
	return "holds"
}

func summary(version string) string {
	checked, ours, peer := 0, 0, 0
	all := Statements(version)
	for _, s := range all {
		if !s.Checked() {
			continue
		}
		checked++
		if result(version, s, missing) == "holds" {
			ours++
		}
		if !s.NeedsMethod() && result(version, s, deviations) == "holds" {
			peer++
		}
	}
	return fmt.Sprintf("%d statements, %d with a check. Ours holds %d of them, mosquitto %d.", len(all), checked, ours, peer)
}

// TestTables looks for slips in the tables: numbers twice, statements with neither check nor reason, strangers among the known.
func TestTables(t *testing.T) {
	seen := map[string]bool{}
	for _, version := range versions {
		seen[version] = true
		for _, s := range Statements(version) {
			key := version + " " + s.Number
			if seen[key] {
				t.Errorf("%s is listed twice", key)
			}
			seen[key] = s.Checked()
			if s.Checked() == (s.Reason != "") {
				t.Errorf("%s needs a check or a reason, one of them", key)
			}
		}
	}
	for name, known := range map[string]map[string]string{"missing": missing, "deviations": deviations} {
		for key := range known {
			if !seen[key] {
				t.Errorf("%s lists %s, which has no check", name, key)
			}
		}
	}
}
