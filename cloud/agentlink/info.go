package agentlink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
)

// ErrUnknown: the device has never said hello.
var ErrUnknown = errors.New("agentlink: the device has no agent")

// Info is what is known of a device's agent.
type Info struct {
	Version  string       `json:"version"`
	Platform string       `json:"platform"`
	Channel  int          `json:"channel"` // the version of the channel that it speaks
	Caps     []string     `json:"caps"`
	Streams  []StreamInfo `json:"streams"`
	Variant  string       `json:"variant,omitempty"`
	Untold   int          `json:"untold,omitempty"` // losses that it has not reported yet
	// Uploads are nil of an agent that sends no files.
	Uploads *agentmsg.Uploads `json:"uploads,omitempty"`
	// Routes are those of a gateway, as it said itself.
	Routes []agentmsg.Route `json:"routes,omitempty"`

	Seen time.Time `json:"-"` // when it said so
	Gaps []GapInfo `json:"-"` // the newest first
}

// StreamInfo is what an agent holds of a stream, as it said itself.
type StreamInfo struct {
	Name    string `json:"name"`
	Epoch   string `json:"epoch"`
	Next    uint64 `json:"next"`
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"`
	Lost    int64  `json:"lost"`
}

// GapInfo is a loss.
type GapInfo struct {
	Stream   string
	From, To uint64
	Reason   string
	Bytes    int64
	At       time.Time
}

func infoOf(h *agentmsg.Hello) Info {
	i := Info{Version: h.Agent, Platform: h.Platform, Channel: h.V, Caps: h.Caps, Variant: h.Variant, Untold: h.Gaps, Uploads: h.Uploads,
		Routes: h.Routes, Streams: make([]StreamInfo, 0, len(h.Streams))}
	for _, s := range h.Streams {
		i.Streams = append(i.Streams, StreamInfo{s.Stream, string(s.Epoch), s.Next, s.Records, s.Bytes, s.Lost})
	}
	return i
}

// Agent is what is known of a device's agent.
func (l *Links) Agent(ctx context.Context, device int64) (i Info, err error) {
	var text string
	var at int64
	err = l.Store.QueryRow(ctx, `SELECT info, at FROM agent WHERE device = ?`, device).Scan(&text, &at)
	if errors.Is(err, store.ErrNoRows) {
		return i, ErrUnknown
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &i)
	}
	if err == nil {
		i.Seen = time.UnixMilli(at).UTC()
		i.Gaps, err = l.gaps(ctx, device)
	}
	if err != nil {
		return i, fmt.Errorf("read an agent: %w", err)
	}
	return i, nil
}

func (l *Links) gaps(ctx context.Context, device int64) (list []GapInfo, err error) {
	rows, err := l.Store.Query(ctx, `SELECT stream, from_seq, to_seq, reason, bytes, at FROM agent_gap WHERE device = ? ORDER BY at DESC, from_seq DESC LIMIT ?`,
		device, l.cfg.Gaps)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	list = []GapInfo{}
	for rows.Next() {
		var g GapInfo
		var from, to, at int64
		if err := rows.Scan(&g.Stream, &from, &to, &g.Reason, &g.Bytes, &at); err != nil {
			return nil, err
		}
		g.From, g.To, g.At = uint64(from), uint64(to), time.UnixMilli(at).UTC()
		list = append(list, g)
	}
	return list, nil
}

// Can reports whether the agent has said that it has a capability.
func (i *Info) Can(capability string) bool { return slices.Contains(i.Caps, capability) }

// Listed is an agent of a list, which has no gaps.
type Listed struct {
	Info
	Device int64
	SN     string
	// Config is the version of its configuration, ConfigState what became of the last offer.
	Config, ConfigState string
}

// Agents lists the agents of a product's devices, those of devices with higher ids than after.
func (l *Links) Agents(ctx context.Context, product string, after int64, limit int) (list []Listed, err error) {
	rows, err := l.Store.Query(ctx, `SELECT d.id, d.sn, a.info, a.at, COALESCE(s.running, ''), COALESCE(s.state, '') FROM device d JOIN agent a ON a.device = d.id
		LEFT JOIN agent_config_state s ON s.device = d.id WHERE d.product = ? AND d.id > ? ORDER BY d.id LIMIT ?`, product, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var a Listed
		var text string
		var at int64
		if err := rows.Scan(&a.Device, &a.SN, &text, &at, &a.Config, &a.ConfigState); err != nil {
			return nil, fmt.Errorf("list agents: %w", err)
		}
		if err := json.Unmarshal([]byte(text), &a.Info); err != nil {
			return nil, fmt.Errorf("list agents: %w", err)
		}
		a.Seen = time.UnixMilli(at).UTC()
		list = append(list, a)
	}
	return list, nil
}
