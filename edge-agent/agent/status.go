package agent

import (
	"context"
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/edge-agent/localapi"
	"github.com/hawser-iot/hawser/edge-agent/ota"
	"github.com/hawser-iot/hawser/edge-agent/upload"
)

const commandAgentStatus = "status"

// Status is what a running agent says of itself.
type Status struct {
	Version    string         `json:"version,omitempty"`
	Variant    string         `json:"variant"`
	PID        int            `json:"pid"`
	Time       time.Time      `json:"time"`
	Started    time.Time      `json:"started"`
	Product    string         `json:"product"`
	Device     string         `json:"device"`
	Hub        string         `json:"hub"`
	Link       LinkStatus     `json:"link"`
	Streams    []StreamStatus `json:"streams"`
	Subdevices Subdevices     `json:"subdevices"`
	Firmware   *ota.Status    `json:"firmware,omitempty"` // nil when the gateway takes none
	// NoFirmware is why it takes none though it should.
	NoFirmware string `json:"noFirmware,omitempty"`
	// SubdeviceFirmware is that of sub-devices that the gateway takes it for.
	SubdeviceFirmware []ota.Subdevice `json:"subdeviceFirmware,omitempty"`
	// Files are those that are sent to the hub; nil when none are.
	Files  *upload.Stats `json:"files,omitempty"`
	Memory Memory        `json:"memory"`
}

// LinkStatus is the connection to the hub.
type LinkStatus struct {
	Connected bool       `json:"connected"`
	Since     *time.Time `json:"since,omitempty"` // the last accepted login
	Logins    int64      `json:"logins"`
	Sent      int64      `json:"sent"`
	InFlight  int64      `json:"inFlight"` // sent and not acknowledged yet
	Received  int64      `json:"received"`
	Dropped   int64      `json:"dropped"`
	Failure   string     `json:"failure,omitempty"` // why the last connection did not come about, or ended
	FailedAt  *time.Time `json:"failedAt,omitempty"`
}

// StreamStatus are the counters of a stream of the buffer, since the start where they are not of now.
type StreamStatus struct {
	Name     string `json:"name"`
	Priority int    `json:"priority"`
	Waiting  int64  `json:"waiting"` // now
	Bytes    int64  `json:"bytes"`   // now
	Accepted int64  `json:"accepted"`
	Carried  int64  `json:"carried"`
	Dropped  int64  `json:"dropped"`
	Thinned  int64  `json:"thinned,omitempty"` // kept when others were thinned out, which are among the dropped
	Refused  int64  `json:"refused"`
	Failed   int64  `json:"failed"` // refused because the disk failed
}

// Subdevices counts those of the configuration.
type Subdevices struct {
	Configured int `json:"configured"`
	Connected  int `json:"connected"`
}

// Memory is in bytes; Resident and Peak are 0 where the kernel does not tell.
type Memory struct {
	Resident int64 `json:"resident"`
	Peak     int64 `json:"peak"`
	Heap     int64 `json:"heap"`
}

// AskStatus asks the running agent. Without one the error is localapi.ErrNotRunning.
func AskStatus(ctx context.Context, cfg Config) (s Status, err error) {
	return s, localapi.Call(ctx, cfg.SocketPath(), commandAgentStatus, nil, &s)
}

// Status says how the agent is.
func (a *Agent) Status(ctx context.Context) (Status, error) {
	s := Status{
		Version: a.Version, Variant: Variant, PID: os.Getpid(), Time: time.Now(), Started: a.started,
		Product: a.cfg.Product, Device: a.cfg.Device, Hub: a.cfg.Hub,
		Link: a.linkStatus(), Streams: a.streamStatus(),
		Subdevices: Subdevices{len(a.cfg.Subdevices), a.lan.Connections()}, Memory: memory("/proc/self/status"),
	}
	if a.noOTA != nil {
		s.NoFirmware = a.noOTA.Error()
	}
	if a.uploads != nil {
		u := a.uploads.Stats()
		s.Files = &u
	}
	if a.ota != nil {
		f, err := a.ota.Status(ctx)
		if err != nil {
			return s, err
		}
		s.Firmware = &f
	}
	if sub := a.lan.Firmware(); sub != nil {
		s.SubdeviceFirmware = sub.Status()
	}
	return s, nil
}

func (a *Agent) linkStatus() LinkStatus {
	n, failure := a.up.LinkStats(), a.up.LinkFailure()
	s := LinkStatus{Connected: a.up.Connected(), Logins: n.Connects, Sent: n.Published, InFlight: n.InFlight, Received: n.Received, Dropped: n.Dropped}
	if n.LastUpUnix > 0 {
		at := time.Unix(n.LastUpUnix, 0)
		s.Since = &at
	}
	if failure.Err != nil {
		s.Failure, s.FailedAt = failure.Err.Error(), &failure.Time
	}
	return s
}

// streamStatus is that of all streams, the most important one first.
func (a *Agent) streamStatus() (list []StreamStatus) {
	streams := a.buf.Streams()
	slices.SortStableFunc(streams, func(x, y *buffer.Stream) int { return y.Priority() - x.Priority() })
	for _, st := range streams {
		s := st.Stats()
		list = append(list, StreamStatus{st.Name(), st.Priority(), s.Records, s.Bytes, s.Appended, s.Removed, s.Dropped, s.Thinned, s.Rejected, s.Failed})
	}
	return list
}

// memory reads the kernel's account of this process.
func memory(path string) Memory {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	m := Memory{Heap: int64(stats.HeapAlloc)}
	b, err := os.ReadFile(path)
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "VmRSS:" && f[0] != "VmHWM:" {
			continue
		}
		kib, err := strconv.ParseInt(f[1], 10, 64)
		switch {
		case err != nil:
		case f[0] == "VmRSS:":
			m.Resident = kib << 10
		default:
			m.Peak = kib << 10
		}
	}
	return m
}

func (a *Agent) answerStatus(ctx context.Context, _ json.RawMessage) (any, error) {
	return a.Status(ctx)
}
