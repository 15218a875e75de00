// Package ucloud points the public SDK of UCloud, which is not ours, at a hub's Action API: what programs that are written with it
// send and expect is what counts, not what its documents say.
package ucloud
