import { Alert, Anchor, Button, Center, Divider, Group, Paper, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { useState, type FormEvent } from 'react';
import { api, take } from '../api/client';
import { hasCode } from '../api/problem';
import { Icon } from '../kit/icons';
import { detailOf, titleOf } from '../kit/toast';
import { Preferences } from './Preferences';
import type { HubState } from './session';
import { words } from './text';

/** Gate is the frame of what is shown to somebody who is not logged in. */
export function Gate({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <Center mih="100vh" p="md" component="main">
      <Paper withBorder p="xl" w="100%" maw={420} radius="md">
        <Group justify="space-between" mb="md" wrap="nowrap">
          <Title order={1} size="h3">
            {title}
          </Title>
          <Preferences />
        </Group>
        {children}
      </Paper>
    </Center>
  );
}

/** Insecure says that a session cannot be kept here. */
export function Insecure({ hub }: { hub: HubState }) {
  const t = words.use();
  if (window.isSecureContext) return null;
  const secure = new URL(location.href);
  secure.protocol = 'https:';
  secure.port = String(hub.https || 443);
  return (
    <Alert color="yellow" icon={<Icon name="warning" />} mb="md">
      <Text size="sm">{t.insecure}</Text>
      <Anchor href={secure.href} size="sm">
        {t.openSecure}
      </Anchor>
    </Alert>
  );
}

export function Login({ hub, expired, onDone }: { hub: HubState; expired: boolean; onDone: () => void }) {
  const t = words.use();
  const [login, setLogin] = useState('');
  const [password, setPassword] = useState('');
  const [second, setSecond] = useState(false);
  const [recovery, setRecovery] = useState(false);
  const [code, setCode] = useState('');
  const [fault, setFault] = useState('');
  const [busy, setBusy] = useState(false);

  async function send(e: FormEvent) {
    e.preventDefault();
    setBusy(true);
    setFault('');
    try {
      const factor = second ? (recovery ? { recoveryCode: code.trim() } : { code: code.replaceAll(' ', '') }) : {};
      await take(api.POST('/v1/login', { body: { login, password, cookie: true, ...factor } }));
      onDone();
    } catch (err) {
      if (hasCode(err, 'totp_required')) setSecond(true);
      else if (hasCode(err, 'wrong_login')) setFault(t.wrongLogin);
      else if (hasCode(err, 'wrong_code')) setFault(t.wrongCode);
      else setFault([titleOf(err), detailOf(err)].filter(Boolean).join(': '));
    } finally {
      setBusy(false);
    }
  }

  return (
    <Gate title={t.loginTo}>
      <Insecure hub={hub} />
      {expired && <Alert mb="md">{t.sessionOver}</Alert>}
      <form onSubmit={send}>
        <Stack>
          <TextInput label={t.name} name="login" autoComplete="username" required value={login} onChange={(e) => setLogin(e.currentTarget.value)} autoCapitalize="none" spellCheck={false} autoFocus />
          <PasswordInput label={t.password} name="password" autoComplete="current-password" required value={password} onChange={(e) => setPassword(e.currentTarget.value)} />
          {second && (
            <TextInput
              label={recovery ? t.recoveryCode : t.code}
              name="code"
              inputMode={recovery ? 'text' : 'numeric'}
              autoComplete="one-time-code"
              required
              autoFocus
              value={code}
              onChange={(e) => setCode(e.currentTarget.value)}
            />
          )}
          {second && !recovery && (
            <Anchor component="button" type="button" size="sm" onClick={() => setRecovery(true)}>
              {t.recovery}
            </Anchor>
          )}
          {fault && (
            <Alert color="red" role="alert">
              {fault}
            </Alert>
          )}
          <Button type="submit" loading={busy}>
            {t.login}
          </Button>
        </Stack>
      </form>
      {hub.oidc && <OIDC />}
    </Gate>
  );
}

function OIDC() {
  const t = words.use();
  const [fault, setFault] = useState('');
  async function go() {
    try {
      const { url } = await take(api.POST('/v1/login/oidc', { body: { returnTo: location.pathname + location.search } }));
      location.assign(url);
    } catch (err) {
      setFault(titleOf(err));
    }
  }
  return (
    <>
      <Divider my="md" label={t.or} />
      <Button fullWidth variant="default" onClick={() => void go()}>
        {t.oidc}
      </Button>
      {fault && (
        <Text c="red" size="sm" mt="xs" role="alert">
          {fault}
        </Text>
      )}
    </>
  );
}
