// What can be changed of a campaign that runs, as it is typed, and the request that changes it.
import type { Schemas } from '../../api/client';
import { draftOf, number, waveOf, type WaveDraft } from './spec';

type Item = Schemas['Campaign'];

export interface Change {
  perMinute: string;
  growth: string;
  maxPerMinute: string;
  concurrent: string;
  kibPerSecond: string;
  waves: WaveDraft[];
  cron: string;
  minutes: string;
  tz: string;
  expires: string;
}

const typed = (n?: number) => (n ? String(n) : '');

/** local is a moment as a field for it wants it, in the reader's time. */
function local(at: string): string {
  const d = new Date(at);
  return new Date(d.getTime() - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export function typedOf(c: Item): Change {
  return {
    perMinute: typed(c.rate.perMinute),
    growth: typed(c.rate.growth),
    maxPerMinute: typed(c.rate.maxPerMinute),
    concurrent: typed(c.rate.concurrent),
    kibPerSecond: typed(c.rate.bytesPerSecond && c.rate.bytesPerSecond / 1024),
    waves: c.waves.map(draftOf),
    cron: c.window?.cron ?? '',
    minutes: typed(c.window?.minutes),
    tz: c.window?.tz ?? '',
    expires: local(c.expiresAt),
  };
}

const rateOf = (t: Change): Schemas['CampaignRate'] => ({
  perMinute: number(t.perMinute),
  growth: number(t.growth),
  maxPerMinute: number(t.maxPerMinute),
  concurrent: number(t.concurrent),
  bytesPerSecond: t.kibPerSecond === '' ? undefined : Math.round(Number(t.kibPerSecond) * 1024),
});

/** patchOf has what is typed otherwise than it is; the waves that have begun are in it as they are. */
export function patchOf(c: Item, t: Change): Schemas['CampaignPatch'] {
  const was = typedOf(c);
  const differ = (...names: (keyof Change)[]) => names.some((n) => JSON.stringify(was[n]) !== JSON.stringify(t[n]));
  const patch: Schemas['CampaignPatch'] = {};
  if (differ('perMinute', 'growth', 'maxPerMinute', 'concurrent', 'kibPerSecond')) patch.rate = rateOf(t);
  if (differ('waves')) patch.waves = t.waves.map((w, i) => (i < c.wave ? c.waves[i]! : waveOf(w)));
  if (differ('cron', 'minutes', 'tz')) patch.window = { cron: t.cron, minutes: number(t.minutes) ?? 60, tz: t.tz || undefined };
  if (differ('expires') && t.expires) patch.expiresAt = new Date(t.expires).toISOString();
  return patch;
}
