import { expect, test } from 'vitest';
import { linesOf } from './metrics';

const at = (second: number) => new Date(second * 1000).toISOString();
const series = (stepSeconds: number, values: number[]) => ({
  from: at(0),
  to: at(stepSeconds * values.length),
  stepSeconds,
  series: [{ name: 'messages_up', points: values.map((value, i) => ({ time: at(i * stepSeconds), value })) }],
});

test.each([
  ['a full minute', 60, [60, 120], 135, [1, 2]],
  ['a minute that has begun', 60, [60, 3], 65, [null, null]],
  ['the minute before that', 60, [60, 3], 72, [1, null]],
  ['two of five minutes', 300, [300, 120], 300 + 135, [1, 1]],
])('%s', (_, step, values, now, want) => expect(linesOf(series(step, values), now * 1000).of(['messages_up'], 1)).toEqual(want));

test('a gauge is as it was last', () => expect(linesOf(series(60, [5, 6]), 61_000).of(['messages_up'])).toEqual([5, 6]));
