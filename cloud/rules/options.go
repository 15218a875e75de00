package rules

import (
	"encoding/json"
	"fmt"
	"time"
)

// WhenFull says what happens to records that an action has no room for.
type WhenFull string

// What can be done when an action's queue is full.
const (
	// GiveUp gives the oldest records up: to the fallback action, else to the dead letters, which have a bound too.
	GiveUp WhenFull = "dead-letter"
	// Block takes no more messages that the rule matches: they are not acknowledged, and their senders repeat them.
	Block WhenFull = "block"
)

// Options are how an action's records are delivered, whatever the kind of its sink. Zero values are the defaults.
type Options struct {
	Batch Batch `json:"batch,omitzero"`
	// WhenFull, with MaxBytes, bounds what waits for the action.
	WhenFull WhenFull `json:"whenFull,omitempty"` // "" is GiveUp
	MaxBytes int64    `json:"maxBytes,omitempty"` // 0 is Config.QueueBytes
	// MaxAttempts is how often a record is tried that fails for a reason that may be its own.
	MaxAttempts int `json:"maxAttempts,omitempty"` // 0 is Config.MaxAttempts
	// ExpiresSeconds is how old a record may become before it is dropped instead of delivered.
	ExpiresSeconds float64 `json:"expiresSeconds,omitempty"` // 0 is never
}

// Batch bounds what goes to a sink at once. A sink that takes records one by one stays at that.
type Batch struct {
	Count int   `json:"count,omitempty"` // 0 is as many as the sink takes
	Bytes int64 `json:"bytes,omitempty"` // of the results together; 0 is what the sink takes
	// LingerMillis is how long records wait for company when a batch is not full; absent is as the sink wants it.
	LingerMillis *int `json:"lingerMillis,omitempty"`
}

const (
	maxAttempts  = 1000
	maxExpires   = 365 * 24 * time.Hour
	maxQueue     = 1 << 40
	minQueue     = 64 << 10
	maxBatch     = 10_000
	maxBatchSize = 64 << 20
	maxLinger    = time.Minute
)

// validate says which member of an action is wrong.
func (o *Options) validate(field string) error {
	bad := func(member, reason string, args ...any) error {
		return &ErrInvalid{Field: field + "." + member, Reason: fmt.Sprintf(reason, args...)}
	}
	linger := 0
	if o.Batch.LingerMillis != nil {
		linger = *o.Batch.LingerMillis
	}
	switch {
	case o.WhenFull != "" && o.WhenFull != GiveUp && o.WhenFull != Block:
		return bad("whenFull", "must be %s or %s", GiveUp, Block)
	case o.MaxBytes != 0 && (o.MaxBytes < minQueue || o.MaxBytes > maxQueue):
		return bad("maxBytes", "must be between %d and %d", minQueue, int64(maxQueue))
	case o.MaxAttempts < 0 || o.MaxAttempts > maxAttempts:
		return bad("maxAttempts", "must be between 1 and %d", maxAttempts)
	case o.ExpiresSeconds < 0 || o.ExpiresSeconds > maxExpires.Seconds():
		return bad("expiresSeconds", "must be between 0 and %d", int(maxExpires.Seconds()))
	case o.Batch.Count < 0 || o.Batch.Count > maxBatch:
		return bad("batch.count", "must be between 1 and %d", maxBatch)
	case o.Batch.Bytes < 0 || o.Batch.Bytes > maxBatchSize:
		return bad("batch.bytes", "must be between 1 and %d", maxBatchSize)
	case linger < 0 || linger > int(maxLinger.Milliseconds()):
		return bad("batch.lingerMillis", "must be between 0 and %d", maxLinger.Milliseconds())
	}
	return nil
}

// expires is how old a record may become; 0 is any age.
func (o *Options) expires() time.Duration {
	return time.Duration(o.ExpiresSeconds * float64(time.Second))
}

// MaxByter is a Sink that takes no more than so many bytes of results at once, beside MaxBatch. A single record is sent however large it is.
type MaxByter interface{ MaxBytes() int64 }

// service is an action's sink with how it is used. It is replaced whole.
type service struct {
	Sink
	options  Options
	count    int   // most records of a batch
	bytes    int64 // most bytes of a batch, 0 for any
	linger   time.Duration
	attempts int
	queue    int64 // most bytes that wait
}

// serve joins a sink with an action's options.
func (cfg *Config) serve(s Sink, o Options) *service {
	v := &service{Sink: s, options: o, count: max(s.MaxBatch(), 1), linger: s.Linger(), attempts: cfg.MaxAttempts, queue: cfg.QueueBytes}
	if o.Batch.Count > 0 {
		v.count = min(v.count, o.Batch.Count)
	}
	if m, ok := s.(MaxByter); ok {
		v.bytes = m.MaxBytes()
	}
	if o.Batch.Bytes > 0 && (v.bytes <= 0 || o.Batch.Bytes < v.bytes) {
		v.bytes = o.Batch.Bytes
	}
	if o.Batch.LingerMillis != nil {
		v.linger = time.Duration(*o.Batch.LingerMillis) * time.Millisecond
	}
	if o.MaxAttempts > 0 {
		v.attempts = o.MaxAttempts
	}
	if o.MaxBytes > 0 {
		v.queue = o.MaxBytes
	}
	return v
}

// storedOptions is what is kept of an action's options, "" for the defaults.
func storedOptions(o Options) (string, error) {
	b, err := json.Marshal(o)
	if err != nil || string(b) == "{}" {
		return "", err
	}
	return string(b), nil
}

// parseOptions is the inverse of storedOptions.
func parseOptions(text string) (o Options, err error) {
	if text == "" {
		return o, nil
	}
	err = json.Unmarshal([]byte(text), &o)
	return o, err
}
