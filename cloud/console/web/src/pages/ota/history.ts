import type { Schemas } from '../../api/client';

/** linesOf is a line for each version over the hours in which something was counted; no device in an hour is 0. */
export function linesOf(items: Schemas['FirmwareVersion'][]) {
  const at = (v: Schemas['FirmwareVersion']) => Date.parse(v.time ?? '') / 1000;
  const counted = items.filter((v) => v.time);
  const times = [...new Set(counted.map(at))].sort((a, b) => a - b);
  const place = new Map(times.map((t, i) => [t, i]));
  const lines = new Map<string, number[]>();
  for (const v of counted) {
    const line = lines.get(v.version) ?? times.map(() => 0);
    line[place.get(at(v))!]! += v.devices;
    lines.set(v.version, line);
  }
  return { times, series: [...lines].sort(([a], [b]) => a.localeCompare(b, undefined, { numeric: true })).map(([label, values]) => ({ label, values })) };
}
