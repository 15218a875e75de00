package account

import "context"

// ChangeKind says what a Change is about.
type ChangeKind string

// The kinds of change.
const (
	KeyChanged     ChangeKind = "key"
	SessionChanged ChangeKind = "session"
	UserChanged    ChangeKind = "user" // with all sessions of the user
	ProjectChanged ChangeKind = "project"
)

// Change says that what is known of something is out of date.
type Change struct {
	Kind ChangeKind `json:"kind"`
	ID   string     `json:"id"`
}

// Watch calls f after every change that is made here, for the other nodes to hear of it. f must not block.
func (a *Accounts) Watch(f func(Change)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watchers = append(a.watchers, f)
}

// Apply forgets what is known of a change that another node made, and ends what goes on under it.
func (a *Accounts) Apply(c Change) {
	switch c.Kind {
	case KeyChanged:
		a.keys.Remove(c.ID)
	case SessionChanged:
		a.sessions.Remove(c.ID)
	case UserChanged:
		a.users.Remove(c.ID)
	case ProjectChanged:
		a.projects.Remove(c.ID)
	}
	a.end(c)
}

// changed is Apply for this node's own changes.
func (a *Accounts) changed(kind ChangeKind, ids ...string) {
	a.mu.Lock()
	watchers := a.watchers
	a.mu.Unlock()
	for _, id := range ids {
		c := Change{Kind: kind, ID: id}
		a.Apply(c)
		for _, f := range watchers {
			f(c)
		}
	}
}

// follower is something that goes on for long in the name of a caller.
type follower struct {
	caller *Caller
	cancel context.CancelFunc
}

// Follow returns a context that ends with ctx and as soon as anything about the caller changes: what lasts, like a stream
// of events, must not outlive the right to it. The returned function frees it.
func (a *Accounts) Follow(ctx context.Context, c *Caller) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{caller: c, cancel: cancel}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open[f] = struct{}{}
	return ctx, func() {
		cancel()
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.open, f)
	}
}

func (a *Accounts) end(c Change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for f := range a.open {
		id := f.caller.Identity
		if c.Kind == KeyChanged && id.Kind == KindKey && id.ID == c.ID || c.Kind == UserChanged && id.Kind == KindUser && id.ID == c.ID ||
			c.Kind == SessionChanged && f.caller.Session == c.ID {
			f.cancel()
		}
	}
}
