import { expect, test } from 'vitest';
import { complete, pickOf, typedOf, valueOf } from './condition';

test('a value is what was typed', () => {
  for (const [typed, value] of [['30', 30], ['-1.5', -1.5], ['true', true], ['"30"', '30'], ['leak', 'leak'], ['{', '{'], ['{"a":1}', '{"a":1}'], ['', undefined], ['null', 'null']] as const) {
    expect(valueOf(typed)).toBe(value);
    expect(valueOf(typedOf(value))).toBe(value);
  }
});

test('a condition keeps what its kind means, and is complete with it', () => {
  const all = { productSN: 'p', deviceSN: 'd', property: 't', metric: 'm', rule: '4', windowMinutes: 5, op: '>' as const, value: 1 };
  expect(pickOf({ kind: 'presence', ...all })).toEqual({ kind: 'presence', productSN: 'p', deviceSN: 'd' });
  expect(pickOf({ kind: 'rule', ...all })).not.toHaveProperty('productSN');
  expect(complete({ kind: 'property', productSN: 'p', property: 't', op: '>' })).toBe(false);
  expect(complete({ kind: 'property', productSN: 'p', property: 't', op: '>', value: 0 })).toBe(true);
  expect(complete({ kind: 'presence' })).toBe(false);
});
