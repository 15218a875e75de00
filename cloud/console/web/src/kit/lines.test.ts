import { expect, test } from 'vitest';
import { linesOf } from './lines';

const shown = (a: string, b: string) => linesOf(a, b).map((l) => ({ same: ' ', old: '-', new: '+', gap: '…' })[l.kind] + l.text);

test.each([
  ['a\nb\n', 'a\nb', []],
  ['a\nb\nc', 'a\nx\nc', [' a', '-b', '+x', ' c']],
  ['', 'a', ['-', '+a']],
  ['a\nb', 'b\na', ['-a', ' b', '+a']],
  ['1\n2\n3\n4\n5\n6\n7\n8\n9', '1\n2\n3\n4\n5\n6\n7\n8\nx', ['…', ' 6', ' 7', ' 8', '-9', '+x']],
])('%j and %j', (a, b, want) => expect(shown(a, b)).toEqual(want));

test('large texts are compared too', () => {
  const many = (x: string) => Array.from({ length: 3000 }, (_, i) => x + i).join('\n');
  expect(linesOf(many('a'), many('b')).length).toBe(6000);
});
