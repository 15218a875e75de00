import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { actionKinds, delivery } from '../rules/actions';
import { kinds, secretsOf } from './kinds';

const docs = join(import.meta.dirname, '../../../../../../docs');

test('every member that a form asks for is in the documents', () => {
  const page = readFileSync(join(docs, 'connectors.md'), 'utf8') + readFileSync(join(docs, 'rule-delivery.md'), 'utf8');
  const members = [...Object.values(kinds), ...Object.values(actionKinds)].flatMap((k) => k.members);
  for (const [name] of [...members, ...delivery]) expect(page, name).toMatch(new RegExp(`\`[^\`]*\\b${name}\\b[^\`]*\``));
});

test('what is required is asked for', () => {
  for (const k of [...Object.values(kinds), ...Object.values(actionKinds)]) {
    const names = k.members.map(([name]) => name);
    for (const r of k.required) expect(names).toContain(r);
  }
});

test('secrets', () => {
  expect(secretsOf('http')).toEqual(['password', 'token', 'headers', 'signingSecrets', 'clientKey']);
});
