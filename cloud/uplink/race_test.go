//go:build race

package uplink

// raceDetector: with it sync.Pool drops at random, so that allocations cannot be counted.
const raceDetector = true
