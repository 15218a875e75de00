package rules

import (
	"context"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// ErrNotRemade is returned, with the reason, when a dead letter's rule makes nothing of its message that could take the letter's place.
var ErrNotRemade = errors.New("rules: the dead letter stays as it is")

// Remake puts a dead letter of a project ("": of any) back into the outbox as Replay does, with the result that its rule, as it is
// now, makes of the message that the letter was made of: payload is that message's. It keeps its key.
func (r *Rules) Remake(ctx context.Context, project string, id int64, payload []byte, qos byte) error {
	d, err := r.DeadLetter(ctx, project, id)
	if err != nil {
		return err
	}
	c, a := r.makerOf(&d)
	switch {
	case c == nil || c.program == nil:
		return fmt.Errorf("%w: its rule is gone", ErrNotRemade)
	case a == nil || a.role == RoleError:
		return fmt.Errorf("%w: it is not what the rule makes of a message", ErrNotRemade)
	}
	if r.tooOld(d) {
		return fmt.Errorf("%w: it is older than expiresSeconds of its action, which would drop it", ErrNotRemade)
	}
	if _, ok := filterOf(c.filters, d.record.Topic); !ok {
		return fmt.Errorf("%w: its rule, as it is now, does not take messages of its topic", ErrNotRemade)
	}
	if d.record.Result, err = c.remake(&d.record, payload, qos); err != nil {
		return err
	}
	ids, err := r.putBack(ctx, []DeadLetter{d})
	if err == nil && len(ids) == 0 {
		err = ErrNoDeadLetter
	}
	r.lettersChanged()
	return err
}

// makerOf is the rule and the action of a dead letter, as they are now.
func (r *Rules) makerOf(d *DeadLetter) (*compiled, *action) {
	s := r.set.Load()
	a := s.action(d.record.Action)
	if a == nil {
		return nil, nil
	}
	return s.rule(a.rule), a
}

// remake is the result of the message that has rec's place among those that the rule makes of it.
func (c *compiled) remake(rec *Record, payload []byte, qos byte) ([]byte, error) {
	env := rulesql.Env{Device: rec.Device, Topic: rec.Topic, MessageID: rec.MessageID, QoS: qos, Time: rec.Time, Raw: payload}
	if c.DataType != Binary {
		doc, err := codec.Decode(payload, codec.DefaultLimits())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotRemade, err)
		}
		defer doc.Release()
		env.Payload = doc.Root()
	}
	ok, err := c.program.Match(&env)
	var rows rulesql.Rows
	if err == nil && ok {
		err = c.program.Select(&env, &rows)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRemade, err)
	}
	for i := range rows.Len() {
		if rowIndex(0, rows.Index(i)) == rec.Index {
			return rows.Row(i), nil
		}
	}
	return nil, fmt.Errorf("%w: its rule, as it is now, does not make it of its message", ErrNotRemade)
}
