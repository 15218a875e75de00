import { Alert, Button, Group, Modal, PasswordInput, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import { lazy, Suspense, useState } from 'react';
import { api, take } from '../../api/client';
import { useSession } from '../../app/session';
import { CopyText } from '../../kit/CopyText';
import { saveAs } from '../../kit/csv';
import { useAct } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { Loading } from '../../kit/Page';
import { words as kitWords } from '../../kit/text';
import { Code, confirmation, type Confirmed } from './Code';
import { words } from './text';

const QR = lazy(() => import('./QR'));

type Step = 'enrol' | 'disable' | 'renew';

/** SecondFactor switches the codes of an authenticator on and off, and makes new recovery codes. */
export function SecondFactor({ on }: { on: boolean }) {
  const t = words.use();
  const [step, setStep] = useState<Step | null>(null);
  const [codes, setCodes] = useState<string[]>();
  return (
    <Stack align="flex-start">
      <Text size="sm">{on ? t.factorOn : t.factorOff}</Text>
      <Group>
        {!on && <Button onClick={() => setStep('enrol')}>{t.enrol}</Button>}
        {on && (
          <>
            <Button variant="default" onClick={() => setStep('renew')}>
              {t.renew}
            </Button>
            <Button variant="default" c="red" onClick={() => setStep('disable')}>
              {t.disable}
            </Button>
          </>
        )}
      </Group>
      {codes && <Recovery codes={codes} onDone={() => setCodes(undefined)} />}
      {step === 'enrol' && <Enrol onClose={() => setStep(null)} onCodes={setCodes} />}
      {step === 'disable' && <Disable onClose={() => setStep(null)} />}
      {step === 'renew' && <Renew onClose={() => setStep(null)} onCodes={setCodes} />}
    </Stack>
  );
}

/** Recovery are the codes that are shown once. */
function Recovery({ codes, onDone }: { codes: string[]; onDone: () => void }) {
  const t = words.use();
  return (
    <Alert color="yellow" icon={<Icon name="warning" />} title={t.recovery} w="100%" data-recovery>
      <Stack gap="xs">
        <Text size="sm">{t.recoveryHint}</Text>
        <SimpleGrid cols={{ base: 1, xs: 2, md: 4 }} spacing="xs">
          {codes.map((c) => (
            <Text key={c} ff="monospace" size="sm">
              {c}
            </Text>
          ))}
        </SimpleGrid>
        <Group>
          <Button size="xs" variant="default" leftSection={<Icon name="download" size={14} />} onClick={() => saveAs('hawser-recovery-codes.txt', [codes.join('\n') + '\n'], 'text/plain')}>
            {t.save}
          </Button>
          <Button size="xs" variant="default" onClick={onDone}>
            {t.kept}
          </Button>
        </Group>
      </Stack>
    </Alert>
  );
}

interface AskProps {
  title: string;
  hint: string;
  action: string;
  red?: boolean;
  /** A code is asked for too. */
  code: boolean;
  busy: boolean;
  onClose: () => void;
  onDone: (c: Confirmed) => void;
}

/** Ask has the reader show that it is them. */
function Ask({ title, hint, action, red, code, busy, onClose, onDone }: AskProps) {
  const t = words.use();
  const kit = kitWords.use();
  const [typed, setTyped] = useState<Confirmed>({ password: '', code: '' });
  const ready = typed.password !== '' && (!code || typed.code !== '');
  return (
    <Modal opened onClose={onClose} title={title} centered closeButtonProps={{ 'aria-label': kit.close }}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          if (ready) onDone(typed);
        }}
      >
        <Stack>
          <Text size="sm">{hint}</Text>
          <PasswordInput data-autofocus label={t.present} autoComplete="current-password" value={typed.password} onChange={(e) => setTyped({ ...typed, password: e.currentTarget.value })} visibilityToggleButtonProps={{ 'aria-label': t.showTyped }} />
          {code && <Code value={typed} onChange={setTyped} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {kit.cancel}
            </Button>
            <Button type="submit" color={red ? 'red' : undefined} disabled={!ready} loading={busy}>
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function Disable({ onClose }: { onClose: () => void }) {
  const t = words.use();
  const { refresh } = useSession();
  const run = useAct((c: Confirmed) => take(api.POST('/v1/me/totp/disable', { body: confirmation(c) })), { done: t.disabled });
  const done = () => {
    onClose();
    refresh();
  };
  return <Ask title={t.disable} hint={t.disableHint} action={t.disable} red code busy={run.isPending} onClose={onClose} onDone={(c) => run.mutate(c, { onSuccess: done })} />;
}

function Renew({ onClose, onCodes }: { onClose: () => void; onCodes: (codes: string[]) => void }) {
  const t = words.use();
  const run = useAct((c: Confirmed) => take(api.POST('/v1/me/totp/recovery-codes', { body: confirmation(c) })));
  return (
    <Ask
      title={t.renew}
      hint={t.renewHint}
      action={t.renew}
      code
      busy={run.isPending}
      onClose={onClose}
      onDone={(c) =>
        run.mutate(c, {
          onSuccess: (r) => {
            onCodes(r.recoveryCodes);
            onClose();
          },
        })
      }
    />
  );
}

/** Enrol shows a secret for an authenticator, and switches it on with the first code of it. */
function Enrol({ onClose, onCodes }: { onClose: () => void; onCodes: (codes: string[]) => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const { refresh } = useSession();
  const [code, setCode] = useState('');
  const begin = useAct((c: Confirmed) => take(api.POST('/v1/me/totp', { body: confirmation(c) })));
  const confirm = useAct(() => take(api.POST('/v1/me/totp/confirm', { body: { code: code.replace(/\s/g, '') } })), { keys: [['sessions']], done: t.enrolled });
  const secret = begin.data;
  if (!secret) return <Ask title={t.enrol} hint={t.enrolHint} action={t.next} code={false} busy={begin.isPending} onClose={onClose} onDone={(c) => begin.mutate(c)} />;
  return (
    <Modal opened onClose={onClose} title={t.enrol} centered closeButtonProps={{ 'aria-label': kit.close }}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          confirm.mutate(undefined, {
            onSuccess: (r) => {
              onCodes(r.recoveryCodes);
              onClose();
              refresh();
            },
          });
        }}
      >
        <Stack>
          <Text size="sm">{t.scan}</Text>
          <Suspense fallback={<Loading />}>
            <QR text={secret.otpauthURL} label={t.qr} />
          </Suspense>
          <Text size="sm">
            {t.orType} <CopyText value={secret.secret} />
          </Text>
          <TextInput data-autofocus label={t.firstCode} value={code} onChange={(e) => setCode(e.currentTarget.value)} inputMode="numeric" autoComplete="one-time-code" maxLength={7} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {kit.cancel}
            </Button>
            <Button type="submit" disabled={!/^\d{6}$/.test(code.replace(/\s/g, ''))} loading={confirm.isPending}>
              {t.switchOn}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
