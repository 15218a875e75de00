//go:build race

package server_test

// raceDetector: with it memory has another size, and everything takes longer.
const raceDetector = true
