// Package scenario holds whole-system flows: the real binaries, driven by the
// command line and by clients that this project did not write (mosquitto's,
// Node's), with their processes killed and their input spoiled on the way.
package scenario
