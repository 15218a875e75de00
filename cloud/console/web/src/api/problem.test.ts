import { expect, test } from 'vitest';
import { hasCode, ProblemError, problemOf, UnreachableError } from './problem';

test.each([
  [503, '<html>gateway</html>', UnreachableError],
  [503, { code: 'busy', detail: 'too much' }, ProblemError],
  [404, { code: 'device_not_found' }, ProblemError],
  [500, undefined, ProblemError],
])('%d %j', (status, body, kind) => expect(problemOf(new Response(null, { status }), body)).toBeInstanceOf(kind));

test('code and field', () => {
  const err = problemOf(new Response(null, { status: 400 }), { code: 'invalid', field: 'name', detail: 'too long', retCode: 5, requestID: 'r1' });
  expect(hasCode(err, 'other', 'invalid')).toBe(true);
  expect(err).toMatchObject({ status: 400, field: 'name', detail: 'too long', retCode: 5, requestID: 'r1' });
});
