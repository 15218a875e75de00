package server

import "strings"

// match reports whether a topic name matches a filter (MQTT 3.1.1, section 4.7). Both must be valid.
func match(filter, name string) bool {
	if name != "" && name[0] == '$' && filter != "" && (filter[0] == '+' || filter[0] == '#') {
		return false // 4.7.2: wildcards at the start do not reach $-topics
	}
	for {
		f, fRest, fMore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		n, nRest, nMore := strings.Cut(name, "/")
		if f != "+" && f != n {
			return false
		}
		switch {
		case !fMore && !nMore:
			return true
		case fMore && !nMore:
			return fRest == "#" // "a/#" matches "a"
		case !fMore:
			return false
		}
		filter, name = fRest, nRest
	}
}
