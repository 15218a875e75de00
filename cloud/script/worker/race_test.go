//go:build race

package worker_test

// The race detector takes memory that the bounds do not know of.
const raceDetector = true
