import { Alert, Button, Group, SegmentedControl, Stack, Text, Textarea, TextInput, Title } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useAct } from '../../kit/data';
import { fromHex, toBase64 } from '../../kit/octets';
import { Fault } from '../../kit/Page';
import { DevicePick, ProductPick } from '../../kit/Pick';
import { words as kitWords } from '../../kit/text';
import { Outcome } from './Outcome';
import type { Draft } from './RuleEditor';
import { words } from './text';

type Source = 'pasted' | 'live';
type Encoding = 'text' | 'hex' | 'base64';

/** TryIt shows what a draft makes of a message, stage by stage: of one that is typed, or of the next one that comes. Nothing is sent. */
export function TryIt({ draft }: { draft: Draft }) {
  const t = words.use();
  const [source, setSource] = useState<Source>('pasted');
  const [message, setMessage] = useState({ topic: topicOf(draft.sql), payload: '{"t": 21.5}', encoding: 'text' as Encoding });
  const [live, setLive] = useState({ product: '', device: '' });
  const rule = { sql: draft.sql, dataType: draft.dataType, dialect: draft.dialect, actions: draft.actions, errorAction: draft.errorAction as Schemas['RuleAction'] | undefined };
  const [stop, setStop] = useState<AbortController | null>(null);
  const run = useAct(
    () => {
      const end = new AbortController();
      setStop(end);
      const body = source === 'live' ? { ...rule, live: { productSN: live.product, deviceSN: live.device || undefined, timeoutSeconds: 30 } } : { ...rule, message: messageOf(message) ?? undefined };
      return take(api.POST('/v1/rules/try', { body, signal: end.signal }));
    },
    { quiet: true },
  );
  const aborted = stop?.signal.aborted ?? false;
  const ready = source === 'live' ? live.product !== '' : message.topic !== '' && messageOf(message) !== null;
  return (
    <Stack role="group" aria-label={t.tryIt}>
      <div>
        <Title order={2} size="h4">
          {t.tryIt}
        </Title>
        <Text size="sm" c="dimmed">
          {t.tryHint}
        </Text>
      </div>
      <div>
        <SegmentedControl aria-label={t.source} data={[{ value: 'pasted', label: t.pasted }, { value: 'live', label: t.liveNext }]} value={source} onChange={(s) => setSource(s as Source)} />
      </div>
      {source === 'pasted' ? <Pasted message={message} onChange={setMessage} suggested={topicOf(draft.sql)} /> : <Live live={live} onChange={setLive} />}
      <Group>
        <Button variant="light" onClick={() => run.mutate(undefined)} loading={run.isPending} disabled={!ready || draft.sql.trim() === ''}>
          {t.tryNow}
        </Button>
        {run.isPending && source === 'live' && (
          <>
            <Text size="sm" role="status">
              {t.waitingFor}
            </Text>
            <Button variant="default" onClick={() => stop?.abort()}>
              {t.stopWaiting}
            </Button>
          </>
        )}
      </Group>
      <div aria-live="polite">
        {run.error && !aborted && <Fault error={run.error} />}
        {run.data && !run.isPending && !run.error && <Outcome outcome={run.data} />}
      </div>
    </Stack>
  );
}

/** topicOf is a topic that FROM could mean: its first filter, with something in place of the wildcards. */
function topicOf(query: string): string {
  const first = /\bfrom\s+['"]?(\/[^\s'",]+)/i.exec(query)?.[1] ?? '';
  return first.replaceAll('+', 'device-1').replace(/#$/, 'upload');
}

function messageOf({ topic, payload, encoding }: { topic: string; payload: string; encoding: Encoding }): Schemas['TrialMessage'] | null {
  const bare = { topic, qos: 0 };
  if (encoding === 'text') return { ...bare, payload };
  if (encoding === 'base64') return { ...bare, payloadBase64: payload.replace(/\s+/g, '') };
  const octets = fromHex(payload);
  return octets ? { ...bare, payloadBase64: toBase64(octets) } : null;
}

function Pasted({ message, onChange, suggested }: { message: { topic: string; payload: string; encoding: Encoding }; onChange: (m: { topic: string; payload: string; encoding: Encoding }) => void; suggested: string }) {
  const t = words.use();
  const kit = kitWords.use();
  return (
    <Stack gap="xs">
      <Group align="flex-end">
        <TextInput label={t.topic} value={message.topic} onChange={(e) => onChange({ ...message, topic: e.currentTarget.value })} className="grow" spellCheck={false} />
        {suggested && suggested !== message.topic && (
          <Button variant="default" onClick={() => onChange({ ...message, topic: suggested })}>
            {t.takeTopic}
          </Button>
        )}
        <SegmentedControl
          aria-label={kit.form}
          data={[
            { value: 'text', label: kit.asText },
            { value: 'hex', label: kit.asHex },
            { value: 'base64', label: kit.asBase64 },
          ]}
          value={message.encoding}
          onChange={(e) => onChange({ ...message, encoding: e as Encoding })}
        />
      </Group>
      <Textarea label={t.payload} autosize minRows={3} maxRows={16} value={message.payload} onChange={(e) => onChange({ ...message, payload: e.currentTarget.value })} spellCheck={false} styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)', fontSize: 13 } }} />
    </Stack>
  );
}

function Live({ live, onChange }: { live: { product: string; device: string }; onChange: (l: { product: string; device: string }) => void }) {
  const t = words.use();
  return (
    <Stack gap="xs">
      <Group align="flex-end">
        <ProductPick required value={live.product} onChange={(product) => onChange({ product, device: '' })} />
        <DevicePick product={live.product} value={live.device} onChange={(device) => onChange({ ...live, device })} />
      </Group>
      <Alert variant="light">{t.liveHint}</Alert>
    </Stack>
  );
}
