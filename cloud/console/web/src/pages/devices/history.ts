import type { Schemas } from '../../api/client';

/** How far back a chart goes, in milliseconds. */
export const spans = { '15m': 900_000, '1h': 3_600_000, '6h': 21_600_000, '24h': 86_400_000, '7d': 604_800_000, '30d': 2_592_000_000 };
export type Span = keyof typeof spans;

/** stepOf is the step that makes a chart of a few hundred points; none where every value may be shown. */
export function stepOf(span: Span): string | undefined {
  return { '15m': undefined, '1h': '10s', '6h': '1m', '24h': '5m', '7d': '30m', '30d': '2h' }[span];
}

/** seriesOf is a history, newest first, as a chart has it. */
export function seriesOf(points: Schemas['PropertyPoint'][]): { times: number[]; values: (number | null)[] } {
  const times: number[] = [];
  const values: (number | null)[] = [];
  for (const p of points.toReversed()) {
    const v = typeof p.value === 'boolean' ? Number(p.value) : p.value;
    times.push(new Date(p.time).getTime() / 1000);
    values.push(typeof v === 'number' ? v : null);
  }
  return { times, values };
}
