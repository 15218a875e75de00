package agentlink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/protocol/agentmsg"
)

// load reads the streams of a device that the store knows.
func (l *Links) load(device int64) (map[agentmsg.Place]*stream, error) {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.StoreWait)
	defer cancel()
	all, err := l.loadStreams(ctx, device)
	if err != nil {
		return nil, fmt.Errorf("read the streams of an agent: %w", err)
	}
	err = l.eachMark(ctx, device, agentmsg.Place{}, func(p agentmsg.Place, seq uint64) {
		st := all[p]
		if st == nil {
			st = &stream{Place: p}
			all[p] = st
		}
		st.have.Add(seq, seq)
		st.marks++
	})
	return all, err
}

func (l *Links) loadStreams(ctx context.Context, device int64) (all map[agentmsg.Place]*stream, err error) {
	all = make(map[agentmsg.Place]*stream)
	rows, err := l.Store.Query(ctx, `SELECT stream, epoch, ranges FROM agent_stream WHERE device = ?`, device)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		st, text := &stream{}, ""
		if err := rows.Scan(&st.Stream, &st.Epoch, &text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), &st.have); err != nil {
			return nil, err
		}
		all[st.Place] = st
	}
	return all, nil
}

// eachMark calls f with the marks of a device, or of one of its streams.
func (l *Links) eachMark(ctx context.Context, device int64, of agentmsg.Place, f func(agentmsg.Place, uint64)) (err error) {
	query, args := `SELECT stream, epoch, seq FROM agent_mark WHERE device = ?`, []any{device}
	if of.Stream != "" {
		query, args = query+` AND stream = ? AND epoch = ?`, append(args, of.Stream, string(of.Epoch))
	}
	rows, err := l.Store.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("read the marks of an agent: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var p agentmsg.Place
		var seq int64
		if err := rows.Scan(&p.Stream, &p.Epoch, &seq); err != nil {
			return fmt.Errorf("read the marks of an agent: %w", err)
		}
		f(p, uint64(seq))
	}
	return nil
}
