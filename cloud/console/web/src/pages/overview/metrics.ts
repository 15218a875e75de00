// Series of metrics as charts want them.
import type { Schemas } from '../../api/client';

export interface Window {
  from: Date;
  to: Date;
}

export type Span = 'hour' | 'day' | 'week' | 'custom';
export const spans: Span[] = ['hour', 'day', 'week', 'custom'];

const lengths: Record<Exclude<Span, 'custom'>, number> = { hour: 3_600_000, day: 86_400_000, week: 7 * 86_400_000 };
const longest = 93 * 86_400_000;

/** windowOf is the time that is shown; undefined when what was typed makes no sense. */
export function windowOf(span: Span, from: string, to: string, now: Date): Window | undefined {
  if (span !== 'custom') return { from: new Date(now.getTime() - lengths[span]), to: now };
  const w = { from: new Date(from), to: to ? new Date(to) : now };
  const length = w.to.getTime() - w.from.getTime();
  return length > 0 && length <= longest ? w : undefined;
}

/** The metrics that the page shows, in one question. */
export const shown = ['devices_online', 'messages_up', 'messages_down', 'bytes_up', 'bytes_down', 'errors_up', 'errors_down', 'rule_matched', 'rule_delivered', 'rule_dead', 'rule_dropped'];

export interface Lines {
  times: number[];
  /** The values of one metric, or the sum of several, for each of times; with per they are counters, divided by the seconds of a step and multiplied by it. */
  of(names: string[], per?: number): (number | null)[];
}

/** How long after its end a minute's numbers may be still on their way, in seconds. */
const late = 10;

/**
 * linesOf lays the points of all series on one axis of times. A step that goes on is counted over its full minutes that have come: divided by the
 * whole step it would look as if the traffic broke down just now.
 */
export function linesOf(series: Schemas['MetricSeries'], now: number): Lines {
  const length = (at: number) => Math.min(series.stepSeconds, Math.floor((now / 1000 - late - at) / 60) * 60);
  const values = new Map(series.series.map((line) => [line.name, new Map(line.points.map((p) => [Date.parse(p.time) / 1000, p.value]))]));
  const times = [...new Set([...values.values()].flatMap((points) => [...points.keys()]))].sort((a, b) => a - b);
  return {
    times,
    of: (names, per) =>
      times.map((at) => {
        const all = names.map((name) => values.get(name)?.get(at)).filter((v) => v !== undefined);
        if (all.length === 0) return null;
        const sum = all.reduce((a, b) => a + b, 0);
        if (per === undefined) return sum;
        return length(at) > 0 ? (sum / length(at)) * per : null;
      }),
  };
}

/** pace is how many there were a second, over the live points that came last. */
export function pace(points: Schemas['MetricPoint'][], name: string): number | undefined {
  if (points.length < 2) return undefined;
  const seconds = (Date.parse(points[points.length - 1]!.time) - Date.parse(points[0]!.time)) / 1000;
  const sum = points.slice(1).reduce((n, p) => n + (p.values[name] ?? 0), 0);
  return seconds > 0 ? sum / seconds : undefined;
}
