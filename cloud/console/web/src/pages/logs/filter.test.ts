import { expect, test } from 'vitest';
import { tailOf, took } from './filter';

const none = { view: 'all' as const, result: '', product: '', device: '', application: '', contains: '', since: '', until: '' };

test('the stream of a choice', () => {
  expect(tailOf(none)).toBe('/v1/messages:tail?');
  expect(tailOf({ ...none, view: 'behaviour', result: 'failed', device: 'd' })).toBe('/v1/messages:tail?kind=connection%2Cleft_out&result=failed');
  expect(tailOf({ ...none, product: 'p', device: 'd', contains: 'a b', since: '-1h' })).toBe('/v1/messages:tail?product=p&device=d&contains=a+b');
  expect(tailOf({ ...none, application: ' 1k2j:board/1 ' })).toBe('/v1/messages:tail?application=1k2j%3Aboard%2F1');
});

test.each([
  [undefined, ''],
  [98, '98 µs'],
  [1500, '1.5 ms'],
  [45_000, '45 ms'],
  [2_340_000, '2.34 s'],
])('%s microseconds', (us, want) => expect(took(us)).toBe(want));
