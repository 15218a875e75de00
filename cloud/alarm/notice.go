package alarm

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

const (
	// messageMost bounds the alarms that a message names; more are a number.
	messageMost = 20
	// noticesAtOnce bounds the notices of one message.
	noticesAtOnce = 5000
	// noticesWait bounds what waits for a channel; what is beyond is in the list of alarms alone.
	noticesWait = 20_000
)

// Message is what a channel is told at one time.
type Message struct {
	Project string
	Test    bool
	At      time.Time
	ID      int64 // the same for a message that is sent again because nobody knows what became of it
	Notices []Notice
	More    int // notices that are not in Notices
}

// Notice is an alarm that was opened or is over.
type Notice struct {
	Alarm
	Over bool
}

// Severity is that of the worst alarm which was opened, Warning when none was.
func (m *Message) Severity() Severity {
	worst := Warning
	for _, n := range m.Notices {
		if !n.Over {
			worst = min(worst, n.Severity)
		}
	}
	return worst
}

// Title is the message in one line.
func (m *Message) Title() string {
	if m.Test {
		return "Hawser: this is a test"
	}
	opened, over := 0, 0
	for _, n := range m.Notices {
		if n.Over {
			over++
		} else {
			opened++
		}
	}
	if len(m.Notices) == 1 && m.More == 0 {
		return "Hawser: " + m.Notices[0].Line()
	}
	title := fmt.Sprintf("Hawser: %d alarms, %d over", opened, over)
	if m.More > 0 {
		title += fmt.Sprintf(", %d more", m.More)
	}
	return title
}

// Line is a notice in one line.
func (n *Notice) Line() string {
	what := "[" + n.Severity.String() + "] "
	if n.Over {
		what = "[over] "
	}
	what += n.RuleName + ": "
	if n.Device != "" {
		what += n.Product + "/" + n.Device + " "
	}
	what += n.Text
	if n.Seen > 1 {
		what += fmt.Sprintf(", with %d more behind it", n.Seen-1)
	}
	return what
}

// Body is the message in plain text, a line for each notice.
func (m *Message) Body() string {
	var b strings.Builder
	if m.Test {
		return "This channel works. The message was sent by hand from project " + m.Project + ".\n"
	}
	for i := range m.Notices {
		n := &m.Notices[i]
		at := n.Opened
		if n.Over {
			at = n.Cleared
		}
		fmt.Fprintf(&b, "%s %s\n", at.Format("2006-01-02 15:04:05Z"), n.Line())
	}
	if m.More > 0 {
		fmt.Fprintf(&b, "… and %d more\n", m.More)
	}
	return b.String()
}

// notify leaves a notice on each of the rule's channels.
func (a *Alarms) notify(ctx context.Context, tx *store.Tx, r *Rule, id int64, over bool) error {
	for _, channel := range r.channels {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM alarm_notice WHERE channel = ? LIMIT ?) AS w`, channel, noticesWait).Scan(&n); err != nil {
			return err
		}
		if n >= noticesWait {
			a.metrics.sent.WithLabelValues("any", "overflow").Inc()
			continue
		}
		now := a.now()
		if _, err := tx.Exec(ctx, `INSERT INTO alarm_notice (id, channel, alarm, cleared, at) VALUES (?, ?, ?, ?, ?)`, int64(a.IDs.Next()), channel, id, flag(over),
			now.UnixMilli()); err != nil {
			return err
		}
		if n == 0 { // the first waits for others
			if _, err := tx.Exec(ctx, `UPDATE alarm_channel SET next_at = ? WHERE id = ? AND next_at < ?`, now.Add(a.cfg.Gather).UnixMilli(), channel,
				now.Add(a.cfg.Gather).UnixMilli()); err != nil {
				return err
			}
		}
	}
	return nil
}
