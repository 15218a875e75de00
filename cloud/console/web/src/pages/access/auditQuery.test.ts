import { expect, test } from 'vitest';
import { auditQuery } from './auditQuery';

const none = { actor: '', operation: '', object: '', result: '', since: '', until: '' };

test('what the hub is asked for a choice of the audit log', () => {
  expect(Object.values(auditQuery(none, '')).every((v) => v === undefined)).toBe(true);
  expect(auditQuery({ ...none, actor: ' ann ', operation: 'update*', object: '/v1/rules', result: 'failed' }, 'created')).toMatchObject({ actor: 'ann', operation: 'update*', object: '/v1/rules', failed: true, sort: 'created' });
  expect(auditQuery({ ...none, result: 'done' }, '-created')).toMatchObject({ failed: false, sort: '-created' });
  expect(auditQuery({ ...none, since: '2026-01-02T03:04', until: 'no time' }, 'operation')).toMatchObject({ since: new Date('2026-01-02T03:04').toISOString(), until: undefined, sort: undefined });
});
