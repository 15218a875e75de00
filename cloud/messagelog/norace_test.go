//go:build !race

package messagelog

const raceDetector = false
