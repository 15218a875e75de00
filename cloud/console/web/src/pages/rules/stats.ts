import type { Schemas } from '../../api/client';

/** sumOf is what became of a rule's results, over its actions. */
export function sumOf(stats: Schemas['RuleStats']) {
  const sum = { matched: stats.matched, delivered: 0, waiting: 0, letters: 0, dropped: 0, failed: stats.failed };
  for (const a of stats.actions) {
    sum.delivered += a.delivered;
    sum.waiting += a.inFlight + a.queued + a.late;
    sum.letters += a.letters;
    sum.dropped += droppedOf(a);
  }
  return sum;
}

export function droppedOf(a: Schemas['ActionStats']): number {
  return Object.values(a.dropped).reduce((n, k) => n + k, 0);
}
