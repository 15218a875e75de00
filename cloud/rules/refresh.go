package rules

import (
	"context"
	"fmt"

	"github.com/hawser-iot/hawser/cloud/store"
)

// bumpVersion tells other nodes, in the transaction that changes a rule, that there is something to be read anew.
func bumpVersion(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, `UPDATE rule_version SET n = n + 1`)
	return err
}

// Changed has this node look for changes of rules at once, not only within rulesEvery: another node has said that there are some.
func (r *Rules) Changed() {
	r.stale.Store(true)
	select {
	case r.heard <- struct{}{}:
	default:
	}
}

// announce tells the other nodes of a change; one that does not hear it looks by itself soon.
func (r *Rules) announce() {
	if r.Deps.Announce != nil {
		r.Deps.Announce()
	}
}

// sync reads the rules anew when another node has changed some.
func (r *Rules) sync(ctx context.Context) error {
	if r.keeper.alone {
		return nil
	}
	n, err := r.version(ctx)
	if err != nil || n == r.seen.Load() && !r.stale.Load() {
		return err
	}
	return r.Refresh(ctx)
}

func (r *Rules) version(ctx context.Context) (n int64, err error) {
	if err := r.Deps.Store.QueryRow(ctx, `SELECT n FROM rule_version`).Scan(&n); err != nil {
		return 0, fmt.Errorf("rules: read the version of the rules: %w", err)
	}
	return n, nil
}

// Refresh reads the rules from the store and puts in force what other nodes have changed.
func (r *Rules) Refresh(ctx context.Context) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	return r.refreshLocked(ctx)
}

func (r *Rules) refreshLocked(ctx context.Context) error {
	r.stale.Store(false)
	version, err := r.version(ctx) // before the rules: what changes in between is read again
	if err != nil {
		return err
	}
	list, err := r.readAll(ctx)
	if err != nil {
		return err
	}
	old, next := r.set.Load(), &set{}
	for _, rule := range list {
		have := old.rule(rule.ID)
		if have == nil || have.Revision != rule.Revision {
			have = r.compileStored(rule, have)
		}
		next = next.with(rule.ID, have)
	}
	r.set.Store(next)
	r.seen.Store(version)
	for _, a := range old.actions.all() {
		if next.action(a.id) != a {
			r.endAction(ctx, a)
		}
	}
	return nil
}

// syncLocked is sync for who is about to change a rule, so that what another node has changed is not undone.
func (r *Rules) syncLocked(ctx context.Context) error {
	if r.keeper.alone {
		return nil
	}
	n, err := r.version(ctx)
	if err != nil || n == r.seen.Load() {
		return err
	}
	return r.refreshLocked(ctx)
}
