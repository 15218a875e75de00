//go:build race

package messagelog

// raceDetector: with it sync.Pool drops at random, so that allocations cannot be counted.
const raceDetector = true
