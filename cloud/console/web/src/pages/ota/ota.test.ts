import { expect, test } from 'vitest';
import { linesOf } from './history';
import type { Schemas } from '../../api/client';
import { patchOf, typedOf } from './change';
import { bodyOf, draftOf, emptyDraft, emptyWave, waveOf } from './spec';
import { countsOf } from './states';

test('every target is counted once', () => {
  const n = countsOf({ targets: 20, released: 12, devices: { succeeded: 4, downloading: 1, trial: 1, queued: 2, failed: 1, timed_out: 1, rolled_back: 1, superseded: 1 } });
  expect(n).toEqual({ succeeded: 4, busy: 2, queued: 2, bad: 3, dropped: 1, later: 8 });
  expect(Object.values(n).reduce((a, b) => a + b)).toBe(20);
});

test('a version that nobody ran in an hour is nought there', () => {
  const hour = (h: number) => new Date(h * 3_600_000).toISOString();
  const of = (h: number, version: string, devices: number) => ({ time: hour(h), module: 'default', version, devices });
  expect(linesOf([of(2, '1.10', 1), of(1, '1.9', 3), of(2, '1.9', 2), { module: 'default', version: '1.9', devices: 9 }])).toEqual({
    times: [3600, 7200],
    series: [
      { label: '1.9', values: [3, 2] },
      { label: '1.10', values: [0, 1] },
    ],
  });
});

test('a draft without firmware or targets asks for nothing', () => {
  expect(bodyOf(emptyDraft)).toBeUndefined();
  expect(bodyOf({ ...emptyDraft, firmware: '1', target: 'devices', devices: ' \n' })).toBeUndefined();
});

test('what is left empty is left to the hub', () => {
  const draft = { ...emptyDraft, firmware: '1', target: 'devices' as const, devices: 'a, b\nc', canary: 'b', limit: '', kibPerSecond: '0.5', cron: '0 2 * * *' };
  expect(JSON.parse(JSON.stringify(bodyOf(draft)))).toEqual({
    firmwareID: '1',
    targets: { devices: ['a', 'b', 'c'] },
    canary: ['b'],
    waves: [{ percent: 5, settled: 100, soakSeconds: 600 }, { percent: 25, soakSeconds: 600 }, { percent: 100 }],
    stop: {},
    rate: { bytesPerSecond: 512 },
    retry: { attempts: 3 },
    window: { cron: '0 2 * * *', minutes: 120 },
    expiresInSeconds: 604800,
  });
});

test('a wave is typed as it was told', () => {
  for (const wave of [{ percent: 5, settled: 90, soakSeconds: 60, hold: true }, { count: 20, health: { reconnects: 2, offline: 5, action: 'rollback' as const } }, { percent: 100 }]) {
    expect(JSON.parse(JSON.stringify(waveOf(draftOf(wave))))).toEqual(wave);
  }
});

test('a change has what differs, and the waves that have begun as they are', () => {
  const c = { wave: 1, waves: [{ percent: 5, hold: false }, { percent: 100 }], rate: { perMinute: 30, bytesPerSecond: 1024 }, expiresAt: '2026-12-01T10:00:00Z' } as Schemas['Campaign'];
  const was = typedOf(c);
  expect(patchOf(c, was)).toEqual({});
  expect(patchOf(c, { ...was, perMinute: '60' }).rate).toMatchObject({ perMinute: 60, bytesPerSecond: 1024 });
  const waves = [was.waves[0]!, { ...emptyWave, reach: '40', by: 'count' as const }, emptyWave];
  const patch = patchOf(c, { ...was, waves });
  expect(Object.keys(patch)).toEqual(['waves']);
  expect(patch.waves![0]).toBe(c.waves[0]);
  expect(patch.waves![1]).toMatchObject({ count: 40 });
});
