import { sinceOf } from '../../kit/Since';

export interface Choice {
  /** Login or name, or id. */
  actor: string;
  operation: string;
  object: string;
  /** done, failed or '' for all. */
  result: string;
  since: string;
  until: string;
}

/** auditQuery is what the hub is asked for a choice; sort is that of the list, of which the log has two. */
export function auditQuery(c: Choice, sort: string) {
  const order = sort === 'created' || sort === '-created' ? sort : undefined;
  return {
    actor: c.actor.trim() || undefined,
    operation: c.operation.trim() || undefined,
    object: c.object.trim() || undefined,
    failed: c.result === '' ? undefined : c.result === 'failed',
    since: sinceOf(c.since),
    until: sinceOf(c.until),
    sort: order as 'created' | '-created' | undefined,
  };
}
