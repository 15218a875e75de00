// Package actionconfig is what the configurations of actions and connectors have in common: how they are read, and how deliveries
// are gathered into batches and bounded in time.
//
// It promises that a member that nobody knows is an error, and that its errors name the member. What else there is in a
// configuration is its kind's.
package actionconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Bounds of what can be set.
const (
	DefaultTimeout = 10 * time.Second
	maxTimeout     = 60 * time.Second
	maxLinger      = 10 * time.Second
)

// Decode reads a configuration into a struct.
func Decode(config json.RawMessage, into any) error {
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	return nil
}

// Batch is meant to be embedded into an action's configuration.
type Batch struct {
	BatchSize int `json:"batchSize,omitempty"` // absent: as the kind likes it
	// LingerMillis is how long outputs wait for more when there are fewer than BatchSize. A full batch does not wait.
	LingerMillis *int `json:"lingerMillis,omitempty"`
}

// Sizes are what rules.Sink wants to know, size and linger where nothing is set. There may be at most most in a batch.
func (b Batch) Sizes(size, most int, linger time.Duration) (int, time.Duration, error) {
	switch {
	case b.BatchSize < 0 || b.BatchSize > most:
		return 0, 0, fmt.Errorf("batchSize must be between 1 and %d", most)
	case b.BatchSize > 0:
		size = b.BatchSize
	}
	if b.LingerMillis != nil {
		if *b.LingerMillis < 0 || *b.LingerMillis > int(maxLinger.Milliseconds()) {
			return 0, 0, fmt.Errorf("lingerMillis must be between 0 and %d", maxLinger.Milliseconds())
		}
		linger = time.Duration(*b.LingerMillis) * time.Millisecond
	}
	return size, linger, nil
}

// Timeout is a connector's timeoutSeconds as a duration; 0 is DefaultTimeout.
func Timeout(seconds float64) (time.Duration, error) {
	switch most := maxTimeout.Seconds(); {
	case seconds == 0:
		return DefaultTimeout, nil
	case seconds < 1 || seconds > most:
		return 0, fmt.Errorf("timeoutSeconds must be between 1 and %g", most)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
