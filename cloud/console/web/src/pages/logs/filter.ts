import type { Schemas } from '../../api/client';
import { tag } from '../../kit/i18n';
import { sinceOf } from '../../kit/Since';

export type Kind = Schemas['MessageKind'];
export type Result = Schemas['MessageResult'];
export type Record = Schemas['MessageRecord'];

/** The tabs, and the kinds of records that each shows. What was left out shows in all of them, for it may have been any. */
export const views = {
  all: [],
  behaviour: ['connection', 'left_out'],
  uplink: ['uplink', 'left_out'],
  downlink: ['downlink', 'left_out'],
  delivery: ['delivery', 'left_out'],
  content: ['device', 'left_out'],
} satisfies { [view: string]: Kind[] };

export type View = keyof typeof views;

export const results: Result[] = ['ok', 'refused', 'failed', 'waiting'];

export interface Choice {
  view: View;
  result: string;
  product: string;
  device: string;
  application: string;
  contains: string;
  since: string;
  until: string;
}

/** queryOf is what the hub is asked for a choice. */
export function queryOf(c: Choice) {
  const kind = views[c.view];
  return {
    product: c.product || undefined,
    device: c.product && c.device ? c.device : undefined,
    application: c.application.trim() || undefined,
    kind: kind.length > 0 ? (kind as Kind[]) : undefined,
    result: c.result ? [c.result as Result] : undefined,
    contains: c.contains || undefined,
    since: sinceOf(c.since),
    until: sinceOf(c.until),
  };
}

/** tailOf is the stream for a choice: from now on. */
export function tailOf(c: Choice): string {
  const { since: _since, until: _until, ...rest } = queryOf(c);
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(rest)) if (value !== undefined) q.set(name, Array.isArray(value) ? value.join(',') : value);
  return `/v1/messages:tail?${q}`;
}

/** momentOf writes when something happened, to the millisecond, by the reader's clock. */
export function momentOf(time: string): string {
  return new Date(time).toLocaleString(tag(), { year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23' });
}

/** took writes a time in microseconds. */
export function took(us: number | undefined): string {
  if (us === undefined) return '';
  if (us < 1000) return `${us} µs`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms`;
  return `${(us / 1_000_000).toFixed(2)} s`;
}

/** keyOf tells records apart. */
export const keyOf = (r: Record) => [r.loggedAt ?? r.time, r.node, r.messageID, r.kind, r.action, r.deviceSN, r.application, r.microseconds].join('/');
