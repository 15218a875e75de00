import { expect, test } from 'vitest';
import { queryOf } from './filter';

const none = { device: '', name: '', class: '', since: '', until: '', min: '', max: '' };

test('a name is looked for anywhere unless it says where', () => {
  expect(queryOf({ ...none, name: 'cam' }).name).toBe('*cam*');
  expect(queryOf({ ...none, name: 'cam*' }).name).toBe('cam*');
  expect(queryOf(none).name).toBeUndefined();
});

test('sizes are typed in KiB', () => {
  expect(queryOf({ ...none, min: '0.5', max: '2' })).toMatchObject({ minSize: 512, maxSize: 2048 });
  expect(queryOf({ ...none, min: 'x', max: '-1' })).toMatchObject({ minSize: undefined, maxSize: undefined });
});
