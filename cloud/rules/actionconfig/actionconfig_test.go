package actionconfig

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestBatch(t *testing.T) {
	for config, want := range map[string]struct {
		size   int
		linger time.Duration
		err    string
	}{
		`{}`:                               {100, time.Second, ""},
		`{"batchSize":7,"lingerMillis":0}`: {7, 0, ""},
		`{"batchSize":500}`:                {500, time.Second, ""},
		`{"lingerMillis":10000}`:           {100, 10 * time.Second, ""},
		`{"batchSize":501}`:                {0, 0, "batchSize must be between 1 and 500"},
		`{"batchSize":-1}`:                 {0, 0, "batchSize"},
		`{"lingerMillis":-1}`:              {0, 0, "lingerMillis"},
		`{"lingerMillis":10001}`:           {0, 0, "lingerMillis must be between 0 and 10000"},
		`{"colour":1}`:                     {0, 0, "colour"},
		`[]`:                               {0, 0, "cannot be read"},
	} {
		var b Batch
		err := Decode(json.RawMessage(config), &b)
		size, linger := 0, time.Duration(0)
		if err == nil {
			size, linger, err = b.Sizes(100, 500, time.Second)
		}
		if size != want.size || linger != want.linger || (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%s: got %d, %v, %v", config, size, linger, err)
		}
	}
}

func TestTimeout(t *testing.T) {
	for seconds, want := range map[float64]time.Duration{0: 10 * time.Second, 1: time.Second, 2.5: 2500 * time.Millisecond, 60: time.Minute, 0.5: 0, 61: 0, -1: 0} {
		if got, err := Timeout(seconds); got != want || (err == nil) != (want != 0) {
			t.Errorf("%g: got %v, %v", seconds, got, err)
		}
	}
}
