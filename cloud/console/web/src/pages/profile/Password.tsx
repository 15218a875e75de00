import { Button, Group, PasswordInput, Stack } from '@mantine/core';
import { useState } from 'react';
import { api, take } from '../../api/client';
import { useSession } from '../../app/session';
import { useAct } from '../../kit/data';
import { Code, confirmation, type Confirmed } from './Code';
import { words } from './text';

const least = 10;

/** Password changes the reader's own; all other sessions end with it. */
export function Password() {
  const t = words.use();
  const { me } = useSession();
  const [now, setNow] = useState<Confirmed>({ password: '', code: '' });
  const [next, setNext] = useState('');
  const [again, setAgain] = useState('');
  const save = useAct(() => take(api.POST('/v1/me/password', { body: { ...confirmation(now), password: now.password, newPassword: next } })), { keys: [['sessions']], done: t.passwordDone });
  const differ = again !== '' && again !== next;
  const ready = now.password !== '' && next.length >= least && again === next;
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        if (!ready) return;
        save.mutate(undefined, {
          onSuccess: () => {
            setNow({ password: '', code: '' });
            setNext('');
            setAgain('');
          },
        });
      }}
    >
      <Stack maw={420}>
        <PasswordInput label={t.present} autoComplete="current-password" value={now.password} onChange={(e) => setNow({ ...now, password: e.currentTarget.value })} visibilityToggleButtonProps={{ 'aria-label': t.showTyped }} />
        {me.totp && <Code value={now} onChange={setNow} />}
        <PasswordInput label={t.newOne} description={t.newHint} autoComplete="new-password" value={next} onChange={(e) => setNext(e.currentTarget.value)} visibilityToggleButtonProps={{ 'aria-label': t.showTyped }} />
        <PasswordInput label={t.again} autoComplete="new-password" value={again} onChange={(e) => setAgain(e.currentTarget.value)} error={differ && t.differ} visibilityToggleButtonProps={{ 'aria-label': t.showTyped }} />
        <Group>
          <Button type="submit" disabled={!ready} loading={save.isPending}>
            {t.changePassword}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
