import { sinceOf } from '../../kit/Since';

export interface Choice {
  device: string;
  name: string;
  class: string;
  since: string;
  until: string;
  /** KiB, as typed. */
  min: string;
  max: string;
}

/** queryOf is what the hub is asked for a choice. A name without a star is looked for anywhere in the name. */
export function queryOf(c: Choice) {
  return {
    device: c.device || undefined,
    name: c.name === '' ? undefined : c.name.includes('*') ? c.name : `*${c.name}*`,
    class: c.class || undefined,
    from: sinceOf(c.since),
    to: sinceOf(c.until),
    minSize: kib(c.min),
    maxSize: kib(c.max),
  };
}

function kib(typed: string): number | undefined {
  const n = Number(typed);
  return typed === '' || !Number.isFinite(n) || n < 0 ? undefined : Math.round(n * 1024);
}
