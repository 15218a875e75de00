// Short messages in the corner, of what was done and what did not work.
import { notifications } from '@mantine/notifications';
import { ProblemError, UnreachableError } from '../api/problem';
import { words } from './text';

/** titleOf is an error in the reader's words; the hub's own, which are English, stand below it. */
export function titleOf(err: unknown): string {
  const t = words.now();
  if (err instanceof UnreachableError) return t.unreachable;
  if (!(err instanceof ProblemError)) return t.error;
  switch (err.code) {
    case 'forbidden':
    case 'exceeds_own':
      return t.forbidden;
    case 'revision_mismatch':
      return t.conflict;
    case 'wrong_login':
      return t.wrongPassword;
    case 'wrong_code':
    case 'totp_required':
      return t.wrongCode;
    case 'quota_exceeded':
      return t.quota;
    case 'device_offline':
    case 'not_subscribed':
      return t.offline;
    case 'device_timeout':
    case 'timeout':
      return t.timeout;
  }
  if (err.status === 429) return t.throttled;
  if (err.status === 404) return t.notFound;
  if (err.status === 400 || err.status === 422) return t.invalid;
  return t.error;
}

/** detailOf is what the hub says of it. */
export function detailOf(err: unknown): string {
  if (err instanceof ProblemError) return [err.detail, err.requestID && words.now().request(err.requestID)].filter(Boolean).join(' · ');
  if (err instanceof UnreachableError) return '';
  return err instanceof Error ? err.message : String(err);
}

export function toastProblem(err: unknown) {
  notifications.show({ id: titleOf(err) + detailOf(err), color: 'red', title: titleOf(err), message: detailOf(err), autoClose: 10_000, closeButtonProps: { 'aria-label': words.now().close } });
}

export function toastDone(message: string) {
  notifications.show({ color: 'teal', message, autoClose: 4_000, closeButtonProps: { 'aria-label': words.now().close } });
}
