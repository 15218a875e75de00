// What is typed for a campaign, and what the hub is asked with it.
import type { Schemas } from '../../api/client';

export interface WaveDraft {
  /** How far the wave reaches: so many percent of all targets, or so many devices. */
  reach: string;
  by: 'percent' | 'count';
  settled: string;
  soak: string;
  hold: boolean;
  /** What updated devices may do worse than the others while the wave soaks; '' is not watched. */
  reconnects: string;
  offline: string;
  silent: string;
  healthAction: Schemas['CampaignAction'];
}

export type TargetKind = 'all' | 'group' | 'filter' | 'devices';

/** Draft is a campaign as it is typed: numbers as text, '' for what is left to the hub. */
export interface Draft {
  firmware: string;
  name: string;
  target: TargetKind;
  group: string;
  filter: string;
  devices: string;
  versions: string;
  canary: string;
  waves: WaveDraft[];
  limit: string;
  minimum: string;
  reverted: string;
  action: Schemas['CampaignAction'];
  perMinute: string;
  growth: string;
  maxPerMinute: string;
  concurrent: string;
  kibPerSecond: string;
  attempts: string;
  cron: string;
  minutes: string;
  tz: string;
  consent: boolean;
  budgetKiB: string;
  days: string;
}

export const emptyWave: WaveDraft = { reach: '100', by: 'percent', settled: '', soak: '', hold: false, reconnects: '', offline: '', silent: '', healthAction: 'pause' };

export const emptyDraft: Draft = {
  firmware: '',
  name: '',
  target: 'all',
  group: '',
  filter: '',
  devices: '',
  versions: '',
  canary: '',
  waves: [
    { ...emptyWave, reach: '5', settled: '100', soak: '600' },
    { ...emptyWave, reach: '25', soak: '600' },
    emptyWave,
  ],
  limit: '5',
  minimum: '',
  reverted: '',
  action: 'pause',
  perMinute: '',
  growth: '',
  maxPerMinute: '',
  concurrent: '',
  kibPerSecond: '',
  attempts: '3',
  cron: '',
  minutes: '120',
  tz: '',
  consent: false,
  budgetKiB: '',
  days: '7',
};

/** number is what is typed as a number; undefined is none. */
export const number = (typed: string): number | undefined => (typed === '' || !Number.isFinite(Number(typed)) ? undefined : Number(typed));
const times = (typed: string, factor: number) => {
  const n = number(typed);
  return n === undefined ? undefined : Math.round(n * factor);
};
const list = (typed: string) => typed.split(/[\s,]+/).filter(Boolean);

function targetsOf(d: Draft): Schemas['CampaignTargets'] {
  const versions = d.versions || undefined;
  switch (d.target) {
    case 'all':
      return { all: true, versions };
    case 'group':
      return { group: d.group, filter: d.filter || undefined, versions };
    case 'filter':
      return { filter: d.filter, versions };
    case 'devices':
      return { devices: list(d.devices), versions };
  }
}

/** waveOf is a wave as the hub is told of it; draftOf is one as it is typed. */
export function waveOf(w: WaveDraft): Schemas['CampaignWave'] {
  const watched = [w.reconnects, w.offline, w.silent].some((v) => number(v) !== undefined);
  return {
    [w.by]: number(w.reach),
    settled: number(w.settled),
    soakSeconds: number(w.soak),
    hold: w.hold || undefined,
    health: watched ? { reconnects: number(w.reconnects), offline: number(w.offline), silent: number(w.silent), action: w.healthAction } : undefined,
  };
}

export function draftOf(w: Schemas['CampaignWave']): WaveDraft {
  const typed = (n?: number) => (n ? String(n) : '');
  const h = w.health ?? {};
  return {
    reach: typed(w.count || w.percent),
    by: w.count ? 'count' : 'percent',
    settled: typed(w.settled),
    soak: typed(w.soakSeconds),
    hold: w.hold ?? false,
    reconnects: typed(h.reconnects),
    offline: typed(h.offline),
    silent: typed(h.silent),
    healthAction: h.action || 'pause',
  };
}

/** bodyOf is the request that makes or plans the campaign; undefined while the firmware or the targets are missing. */
export function bodyOf(d: Draft): Schemas['NewCampaign'] | undefined {
  const chosen = { all: true, group: d.group !== '', filter: d.filter !== '', devices: list(d.devices).length > 0 }[d.target];
  if (d.firmware === '' || !chosen) return undefined;
  const canary = list(d.canary);
  return {
    firmwareID: d.firmware,
    name: d.name || undefined,
    targets: targetsOf(d),
    canary: canary.length > 0 ? canary : undefined,
    waves: d.waves.map(waveOf),
    stop: { limit: number(d.limit), minimum: number(d.minimum), reverted: number(d.reverted), action: d.limit || d.reverted ? d.action : undefined },
    rate: { perMinute: number(d.perMinute), growth: number(d.growth), maxPerMinute: number(d.maxPerMinute), concurrent: number(d.concurrent), bytesPerSecond: times(d.kibPerSecond, 1024) },
    retry: { attempts: number(d.attempts) },
    window: d.cron ? { cron: d.cron, minutes: number(d.minutes) ?? 60, tz: d.tz || undefined } : undefined,
    consent: d.consent || undefined,
    byteBudget: times(d.budgetKiB, 1024),
    expiresInSeconds: times(d.days, 86_400),
  };
}
