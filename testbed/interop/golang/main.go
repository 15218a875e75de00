// Command golang is Eclipse Paho for Go, both of its libraries, as a worker of the interoperability tests; see ../worker_test.go
// for its argument and its events. paho.mqtt.golang speaks
// MQTT 3.1.1, paho.golang 5.0.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
)

// job is what a worker is told.
type job struct {
	Host, CA, ClientID, Username, Password string
	Port, Version, Count, Pause            int
	TLS                                    bool
	Subscribe, Topic                       string
	QoS                                    byte
}

// event is one line of a worker's output.
type event struct {
	Present    bool   `json:"present,omitempty"`
	Subscribed bool   `json:"subscribed,omitempty"`
	Acked      int    `json:"acked,omitempty"`
	Got        string `json:"got,omitempty"`
}

var output sync.Mutex

func say(e event) {
	output.Lock()
	defer output.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(e); err != nil {
		os.Exit(1)
	}
}

func main() {
	var j job
	if len(os.Args) != 2 || json.Unmarshal([]byte(os.Args[1]), &j) != nil {
		fmt.Fprintln(os.Stderr, "usage: golang JOB")
		os.Exit(2)
	}
	run := run311
	if j.Version == 5 {
		run = run5
	}
	if err := run(j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// untilEnd waits for the end of standard input, which is how a worker is told to disconnect.
func untilEnd() { _, _ = io.Copy(io.Discard, os.Stdin) }
