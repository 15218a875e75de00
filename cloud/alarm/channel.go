package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Channel is a way to people, without its secrets.
type Channel struct {
	ID               int64
	Project, Name    string
	Kind             string
	Config           json.RawMessage // an object without the secret members
	Secrets          []string        // the secret members that have a value
	Revision         int64
	Created, Updated time.Time
	Failures         int64 // messages in a row that could not be sent
	LastError        string
	LastErrorAt      time.Time
	SentAt           time.Time

	sealed []byte
}

// members are those of a configuration, secrets and all.
type members map[string]json.RawMessage

func readMembers(config json.RawMessage) (members, error) {
	if len(config) > 16<<10 {
		return nil, &ErrInvalid{"config", "has more than 16384 bytes"}
	}
	var m members
	if err := json.Unmarshal(config, &m); err != nil || m == nil {
		return nil, &ErrInvalid{"config", "must be an object"}
	}
	return m, nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// over puts a new configuration over an old one: a secret that is left out stays, unless it would go to another place.
func (m members) over(old members, kind Kind) error {
	moved := slices.IndexFunc(kind.Address, func(name string) bool { return old != nil && string(old[name]) != string(m[name]) })
	for _, name := range kind.Secrets {
		raw, given := m[name]
		switch {
		case given && isNull(raw):
			delete(m, name)
		case !given && old[name] != nil && moved >= 0:
			return &ErrInvalid{"config." + name, fmt.Sprintf("give it again, or null to take it away: with another %s it would go elsewhere", kind.Address[moved])}
		case !given && old[name] != nil:
			m[name] = old[name]
		}
	}
	return nil
}

// opened checks a channel and makes its sender.
func (a *Alarms) opened(kind string, m members) (Sender, []byte, error) {
	k, ok := a.Kinds[kind]
	if !ok {
		return nil, nil, &ErrInvalid{"kind", fmt.Sprintf("%q is none of %s", kind, strings.Join(slices.Sorted(maps.Keys(a.Kinds)), ", "))}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, nil, err
	}
	s, err := k.Open(b)
	if err != nil {
		return nil, nil, &ErrInvalid{"config", err.Error()}
	}
	return s, b, nil
}

func checkName(name string) error {
	if n := utf8.RuneCountInString(name); n == 0 || n > 128 || !utf8.ValidString(name) {
		return &ErrInvalid{"name", "must have 1 to 128 characters"}
	}
	return nil
}

const channelColumns = `id, project, name, kind, config, revision, created_at, updated_at, failures, last_error, last_error_at, sent_at`

func (a *Alarms) scanChannel(row scanner) (*Channel, members, error) {
	c := &Channel{}
	var created, updated, failed, sent int64
	if err := row.Scan(&c.ID, &c.Project, &c.Name, &c.Kind, &c.sealed, &c.Revision, &created, &updated, &c.Failures, &c.LastError, &failed, &sent); err != nil {
		if errors.Is(err, store.ErrNoRows) {
			err = ErrChannelNotFound
		}
		return nil, nil, err
	}
	c.Created, c.Updated = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC()
	if failed != 0 {
		c.LastErrorAt = time.UnixMilli(failed).UTC()
	}
	if sent != 0 {
		c.SentAt = time.UnixMilli(sent).UTC()
	}
	b, err := a.Store.Unseal(store.AlarmChannelConfig, c.ID, c.sealed)
	if err != nil {
		return nil, nil, err
	}
	m, err := readMembers(b)
	if err != nil {
		return nil, nil, err
	}
	return c, m, c.show(m, a.Kinds[c.Kind])
}

// show fills in what may be told of a configuration.
func (c *Channel) show(m members, kind Kind) (err error) {
	shown := maps.Clone(m)
	c.Secrets = nil
	for _, name := range slices.Sorted(slices.Values(kind.Secrets)) {
		if _, ok := shown[name]; ok {
			c.Secrets = append(c.Secrets, name)
		}
		delete(shown, name)
	}
	c.Config, err = json.Marshal(shown)
	return err
}

// CreateChannel makes a channel. It connects nowhere.
func (a *Alarms) CreateChannel(ctx context.Context, project, name, kind string, config json.RawMessage) (*Channel, error) {
	m, err := readMembers(config)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkName(name), m.over(nil, a.Kinds[kind])); err != nil {
		return nil, err
	}
	_, b, err := a.opened(kind, m)
	if err != nil {
		return nil, err
	}
	now := a.now().UTC().Truncate(time.Millisecond)
	c := &Channel{ID: int64(a.IDs.Next()), Project: project, Name: name, Kind: kind, Revision: 1, Created: now, Updated: now}
	c.sealed = a.Store.Seal(store.AlarmChannelConfig, c.ID, b)
	err = a.Store.Update(ctx, func(tx *store.Tx) error {
		if err := a.room(ctx, tx, "alarm_channel", project); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO alarm_channel (id, project, name, kind, config, revision, created_at, updated_at) VALUES (?, ?, ?, ?, ?, 1, ?, ?)`,
			c.ID, project, name, kind, c.sealed, now.UnixMilli(), now.UnixMilli())
		return err
	})
	if store.IsUnique(err) {
		err = ErrExists
	}
	if err != nil {
		return nil, err
	}
	return c, c.show(m, a.Kinds[kind])
}

// UpdateChannel replaces a channel; a nil config stays. The kind cannot be changed.
func (a *Alarms) UpdateChannel(ctx context.Context, id int64, name string, config json.RawMessage, ifRevision *int64) (*Channel, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE alarm_channel SET revision = revision WHERE id = ?`, id); err != nil {
			return err
		}
		c, old, err := a.scanChannel(tx.QueryRow(ctx, `SELECT `+channelColumns+` FROM alarm_channel WHERE id = ?`, id))
		if err != nil {
			return err
		}
		if ifRevision != nil && *ifRevision != c.Revision {
			return ErrRevision
		}
		m := old
		if config != nil {
			if m, err = readMembers(config); err == nil {
				err = m.over(old, a.Kinds[c.Kind])
			}
			if err != nil {
				return err
			}
		}
		_, b, err := a.opened(c.Kind, m)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE alarm_channel SET name = ?, config = ?, revision = revision + 1, updated_at = ?, next_at = 0, failures = 0 WHERE id = ?`,
			name, a.Store.Seal(store.AlarmChannelConfig, id, b), a.now().UnixMilli(), id)
		return err
	})
	if store.IsUnique(err) {
		err = ErrExists
	}
	if err != nil {
		return nil, err
	}
	return a.Channel(ctx, id)
}

// DeleteChannel deletes a channel that no rule uses.
func (a *Alarms) DeleteChannel(ctx context.Context, id int64) error {
	return a.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE alarm_channel SET revision = revision WHERE id = ?`, id); err != nil {
			return err
		}
		c, _, err := a.scanChannel(tx.QueryRow(ctx, `SELECT `+channelColumns+` FROM alarm_channel WHERE id = ?`, id))
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT `+ruleColumns+` FROM alarm_rule WHERE project = ?`, c.Project)
		if err != nil {
			return err
		}
		var names []string
		for rows.Next() {
			r, err := scanRule(rows)
			if err != nil {
				return errors.Join(err, rows.Close())
			}
			if slices.Contains(r.channels, id) {
				names = append(names, r.Name)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		if len(names) > 0 {
			return fmt.Errorf("%w: %s", ErrInUse, strings.Join(names[:min(len(names), 5)], ", "))
		}
		if _, err := tx.Exec(ctx, `DELETE FROM alarm_notice WHERE channel = ?`, id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM alarm_channel WHERE id = ?`, id)
		return err
	})
}

// Channel returns a channel as it is stored.
func (a *Alarms) Channel(ctx context.Context, id int64) (*Channel, error) {
	c, _, err := a.scanChannel(a.Store.QueryRow(ctx, `SELECT `+channelColumns+` FROM alarm_channel WHERE id = ?`, id))
	return c, err
}

func (a *Alarms) readChannels(ctx context.Context, where string, args ...any) (list []*Channel, err error) {
	rows, err := a.Store.Query(ctx, `SELECT `+channelColumns+` FROM alarm_channel WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("alarm: read channels: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		c, _, err := a.scanChannel(rows)
		if err != nil {
			return nil, fmt.Errorf("alarm: read channels: %w", err)
		}
		list = append(list, c)
	}
	return list, nil
}

// sender is the way of a stored channel.
func (a *Alarms) sender(ctx context.Context, id int64) (*Channel, Sender, error) {
	c, m, err := a.scanChannel(a.Store.QueryRow(ctx, `SELECT `+channelColumns+` FROM alarm_channel WHERE id = ?`, id))
	if err != nil {
		return nil, nil, err
	}
	s, _, err := a.opened(c.Kind, m)
	return c, s, err // c is there with an err of its way
}

// Test sends a message that says that it is a test, at once. err is of the channel; what the way to it says is failure.
func (a *Alarms) Test(ctx context.Context, id int64) (took time.Duration, failure, err error) {
	c, s, err := a.sender(ctx, id)
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.SendTimeout)
	defer cancel()
	begun := time.Now()
	failure = s.Send(ctx, Message{Project: c.Project, Test: true, At: a.now().UTC()})
	return time.Since(begun), failure, nil
}
