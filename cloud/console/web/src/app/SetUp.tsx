import { Alert, Button, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { useState, type FormEvent } from 'react';
import { api, take } from '../api/client';
import { ProblemError } from '../api/problem';
import { detailOf, titleOf } from '../kit/toast';
import { Gate, Insecure } from './Login';
import type { HubState } from './session';
import { words } from './text';

/** SetUp makes the first user of a hub, its owner, with the key that the hub printed at its first start. */
export default function SetUp({ hub, onDone }: { hub: HubState; onDone: () => void }) {
  const t = words.use();
  const [form, setForm] = useState({ key: '', login: '', name: '', password: '', again: '' });
  const [fault, setFault] = useState('');
  const [busy, setBusy] = useState(false);
  const set = (name: keyof typeof form) => (e: { currentTarget: { value: string } }) => setForm({ ...form, [name]: e.currentTarget.value });
  const differ = form.again !== '' && form.again !== form.password;

  async function send(e: FormEvent) {
    e.preventDefault();
    if (form.password !== form.again) return;
    setBusy(true);
    setFault('');
    try {
      await createOwner(form);
      onDone();
    } catch (err) {
      setFault(err instanceof ProblemError && err.status === 401 ? t.badKey : [titleOf(err), detailOf(err)].filter(Boolean).join(': '));
    } finally {
      setBusy(false);
    }
  }

  return (
    <Gate title={t.setUp}>
      <Insecure hub={hub} />
      <form onSubmit={send}>
        <Stack>
          <Text size="sm">{t.setUpMore}</Text>
          <PasswordInput label={t.ownerKey} description={t.ownerKeyHint} name="key" required value={form.key} onChange={set('key')} autoComplete="off" autoFocus />
          <TextInput label={t.name} description={t.loginHint} name="login" required value={form.login} onChange={set('login')} autoComplete="username" autoCapitalize="none" spellCheck={false} />
          <TextInput label={t.displayName} name="name" value={form.name} onChange={set('name')} autoComplete="name" />
          <PasswordInput label={t.password} description={t.passwordHint} name="password" required minLength={10} value={form.password} onChange={set('password')} autoComplete="new-password" />
          <PasswordInput label={t.again} name="again" required value={form.again} onChange={set('again')} autoComplete="new-password" error={differ && t.differ} />
          {fault && (
            <Alert color="red" role="alert">
              {fault}
            </Alert>
          )}
          <Button type="submit" loading={busy} disabled={differ}>
            {t.create}
          </Button>
        </Stack>
      </form>
    </Gate>
  );
}

/** createOwner makes the user, gives them the whole hub, and logs them in. */
async function createOwner(form: { key: string; login: string; name: string; password: string }) {
  const headers = { Authorization: `Bearer ${form.key.trim()}` };
  const login = form.login.trim().toLowerCase();
  const user = await take(api.POST('/v1/users', { headers, body: { login, name: form.name.trim(), password: form.password } }));
  await take(api.POST('/v1/projects/{projectID}/members', { headers, params: { path: { projectID: 'hub' } }, body: { user: user.id, role: 'owner' } }));
  await take(api.POST('/v1/login', { body: { login, password: form.password, cookie: true } }));
}
