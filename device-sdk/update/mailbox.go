package update

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/protocol/message"
)

// errCancelled and errSuperseded are why an update is called off.
var (
	errCancelled  = failure.New(failure.Cancelled, "update: the hub has called it off")
	errSuperseded = failure.New(failure.Cancelled, "update: the hub offers another release")
)

// maxMail is how many messages may wait: the oldest goes then, and is counted (Updater.Dropped).
const maxMail = 32

// maxMessage is the longest message that is looked at: a root document or an assignment, in base64.
const maxMessage = 64 << 10

// mail is one message of the hub's that has been read.
type mail struct {
	method  string
	offer   message.OTAOffer
	stock   message.OTAStockOffer
	bytes   message.OTABytes
	refused message.OTARefused
	done    message.OTADeployment
	cancel  message.OTACancel
}

// mailbox holds messages until Run's goroutine comes to them. What calls an update off has its effect at once.
type mailbox struct {
	mu      sync.Mutex // guards the fields below
	list    []mail
	wake    chan struct{} // holds one when something has come
	poked   bool          // somebody wants what waits to look at the world again
	wishes  chan<- error  // who wants the device to go back, nil for nobody
	dropped int
	// What goes on, for those who call it off.
	deployment, module, version string
	stop                        context.CancelCauseFunc
}

func (m *mailbox) init() { m.wake = make(chan struct{}, 1) }

// poke wakes who waits, so that he looks at the world again.
func (m *mailbox) poke() {
	m.mu.Lock()
	m.poked = true
	m.mu.Unlock()
	m.ring()
}

// wish notes who wants the device to go back; false when somebody does already.
func (m *mailbox) wish(answer chan<- error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wishes != nil {
		return false
	}
	m.wishes, m.poked = answer, true
	m.ring()
	return true
}

// unwish forgets who no longer waits.
func (m *mailbox) unwish(answer chan<- error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wishes == answer {
		m.wishes = nil
	}
}

// wished is who wants the device to go back, nil if nobody does; he is to be answered.
func (m *mailbox) wished() (answer chan<- error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	answer, m.wishes = m.wishes, nil
	return answer
}

func (m *mailbox) ring() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *mailbox) put(l mail) {
	m.mu.Lock()
	if len(m.list) >= maxMail {
		m.list = m.list[1:]
		m.dropped++
	}
	m.list = append(m.list, l)
	m.mu.Unlock()
	m.ring()
}

// take is the next message, false when there is none; poked tells whether somebody has poked instead.
func (m *mailbox) take() (l mail, ok, poked bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.list) == 0 {
		poked, m.poked = m.poked, false
		return mail{}, false, poked
	}
	l = m.list[0]
	m.list = m.list[1:]
	return l, true, false
}

// next waits for a message, or a poke, for at most d; false when there was none.
func (m *mailbox) next(ctx context.Context, d time.Duration) (mail, bool, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		if l, ok, poked := m.take(); ok || poked {
			return l, ok, nil
		}
		select {
		case <-m.wake:
		case <-timer.C:
			return mail{}, false, nil
		case <-ctx.Done():
			return mail{}, false, context.Cause(ctx)
		}
	}
}

// drop forgets what waits and is not an offer: it was said before the question that is about to be asked.
func (m *mailbox) drop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keep []mail
	for _, l := range m.list {
		if l.method == message.OTAOfferFirmware || l.method == message.OTAUpdateFirmware || l.method == message.OTARootUpdate {
			keep = append(keep, l)
		}
	}
	m.list, m.poked = keep, false
}

// current says what goes on, and how it is called off; nil is not at all.
func (m *mailbox) current(p *plan, stop context.CancelCauseFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deployment, m.module, m.version, m.stop = "", "", "", nil
	if p != nil {
		m.deployment, m.module, m.version, m.stop = p.Deployment, p.Module, p.Version, stop
	}
}

// cancel calls off what goes on, if that is meant.
func (m *mailbox) cancel(c message.OTACancel) {
	m.mu.Lock()
	defer m.mu.Unlock()
	same := c.Deployment == m.deployment
	if c.Deployment == "" || m.deployment == "" {
		same = c.Module == m.module && c.Version == m.version
	}
	if same && m.stop != nil {
		m.stop(errCancelled)
	}
	var keep []mail
	for _, l := range m.list {
		named := l.offer.Module == c.Module && l.offer.Version == c.Version || l.stock.Module == c.Module && l.stock.Version == c.Version
		if !named || c.Deployment != "" && l.offer.Deployment != c.Deployment {
			keep = append(keep, l)
		}
	}
	m.list = keep
}

// supersede calls off what goes on for the same module under another deployment.
func (m *mailbox) supersede(deployment, module string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stop != nil && m.module == module && m.deployment != deployment {
		m.stop(errSuperseded)
	}
}

// Dropped is how many messages of the hub's were dropped unread, because too many came at a time.
func (u *Updater) Dropped() int {
	u.mail.mu.Lock()
	defer u.mail.mu.Unlock()
	return u.mail.dropped
}

var errMessage = errors.New("update: message of the hub's is too long or of no known method")

// receive takes a message of the hub's from the connection.
func (u *Updater) receive(_ context.Context, payload []byte) {
	if err := u.read(payload); err != nil {
		u.log.Warn("a message about firmware is not understood", "err", err)
	}
}

func (u *Updater) read(b []byte) (err error) {
	if len(b) > maxMessage {
		return errMessage
	}
	var l mail
	if l.method, err = message.OTAMethod(b); err != nil {
		return err
	}
	switch l.method {
	case message.OTAOfferFirmware:
		if l.offer, err = message.DecodeOTA[message.OTAOffer](b); err == nil {
			u.mail.supersede(l.offer.Deployment, l.offer.Module)
		}
	case message.OTAUpdateFirmware:
		if l.stock, err = message.DecodeOTA[message.OTAStockOffer](b); err == nil {
			u.mail.supersede("", l.stock.Module)
		}
	case message.OTARootUpdate, message.OTAAssignment:
		l.bytes, err = message.DecodeOTA[message.OTABytes](b)
	case message.OTAAssignmentRefused:
		l.refused, err = message.DecodeOTA[message.OTARefused](b)
	case message.OTAAttested:
		l.done, err = message.DecodeOTA[message.OTADeployment](b)
	case message.OTACancelUpdate:
		if l.cancel, err = message.DecodeOTA[message.OTACancel](b); err == nil {
			u.mail.cancel(l.cancel)
		}
	default:
		return errMessage
	}
	if err == nil {
		u.mail.put(l)
	}
	return err
}
