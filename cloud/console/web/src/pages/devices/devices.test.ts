import { expect, test } from 'vitest';
import { deltaOf, patchOf, same } from './delta';
import { seriesOf } from './history';

test.each([
  [{ a: 1, b: { x: [1, 2] } }, { b: { x: [1, 2] }, a: 1 }, true],
  [{ a: 1 }, { a: 1, b: undefined }, false],
  [[1], { 0: 1 }, false],
  [null, {}, false],
])('same %j %j', (a, b, want) => expect(same(a, b)).toBe(want));

test('what the device has yet to become', () => {
  expect(deltaOf({ on: true, mode: { a: 1 }, gone: 1 }, { on: true, mode: { a: 2 }, other: 3 })).toEqual({ mode: { a: 1 }, gone: 1 });
});

test('a change says null for what has gone', () => {
  expect(patchOf({ a: 1, b: 2, c: { x: 1 } }, { a: 1, c: { x: 2 }, d: 4 })).toEqual({ c: { x: 2 }, d: 4, b: null });
});

test('a history as a chart has it', () => {
  const at = (s: number) => new Date(s * 1000).toISOString();
  expect(
    seriesOf([
      { identifier: 'x', time: at(3), value: 'text' },
      { identifier: 'x', time: at(2), value: true },
      { identifier: 'x', time: at(1), value: 1.5 },
    ]),
  ).toEqual({ times: [1, 2, 3], values: [1.5, 1, null] });
});
