import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { functions, stock } from './functions';
import { productsIn } from './complete';

test('the functions are those of the document', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../../../../docs/rules.md'), 'utf8');
  const part = page.slice(page.indexOf('\n## Functions'), page.indexOf('\n## Faults'));
  const rows = [...part.matchAll(/^\| `(\w+\([^`]*\))` ?([1b* ]*)\|/gm)];
  expect(functions).toEqual(rows.map((r) => r[1]));
  expect([...stock].sort()).toEqual([...new Set(rows.filter((r) => r[2]!.includes('1')).map((r) => r[1]!.split('(')[0]!))].sort());
});

test('the products that a query listens to', () => {
  expect(productsIn("SELECT * FROM '/p1/+/upload', /$system/p2/+/tmodel/event/post WHERE a = '/x'")).toEqual(['p1', 'p2']);
  expect(productsIn('SELECT * FROM /+/+/upload')).toEqual([]);
});
