import { Button, Group, NumberInput, SegmentedControl, Stack, Switch, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useAct } from '../../kit/data';
import { Payload } from '../../kit/Payload';
import { Answer } from './Answer';
import { Body, sayBody, type BodyValue } from './Body';
import { words } from './text';

const empty: BodyValue = { text: '{}', encoding: 'text' };

export function Qos({ value, onChange }: { value: 0 | 1; onChange: (v: 0 | 1) => void }) {
  const t = words.use();
  return (
    <div>
      <Text size="sm" fw={600} mb={4} aria-hidden="true">
        {t.qos}
      </Text>
      <SegmentedControl aria-label={t.qos} data={['0', '1']} value={String(value)} onChange={(v) => onChange(Number(v) as 0 | 1)} />
    </div>
  );
}

/** Publish sends a message to a topic of the device's own. */
export function Publish({ device }: { device: Schemas['Device'] }) {
  const t = words.use();
  const [topic, setTopic] = useState('set');
  const [body, setBody] = useState(empty);
  const [qos, setQos] = useState<0 | 1>(1);
  const [raw, setRaw] = useState(false);
  const params = { path: { productSN: device.productSN, deviceSN: device.deviceSN } };
  const send = useAct(() => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/publish', { params, body: { topic, qos, raw, ...sayBody(body) } })), { quiet: true });
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        if (sayBody(body)) send.mutate(undefined);
      }}
    >
      <Stack maw={720}>
        <TextInput label={t.topic} description={t.topicHint(`/${device.productSN}/${device.deviceSN}/`)} required value={topic} onChange={(e) => setTopic(e.currentTarget.value)} spellCheck={false} />
        <Body value={body} onChange={setBody} />
        <Group align="flex-end">
          <Qos value={qos} onChange={setQos} />
          <Switch label={t.raw} checked={raw} onChange={(e) => setRaw(e.currentTarget.checked)} mb={8} />
        </Group>
        <Group>
          <Button type="submit" loading={send.isPending} disabled={topic.trim() === ''}>
            {t.send}
          </Button>
        </Group>
        <Answer
          of={send}
          show={(r) => ({
            good: true,
            title: r.outcome === 'delivered' ? t.delivered : t.waits,
            detail: r.encoded ? t.encoded : undefined,
            facts: [[t.message, <Link key="m" className="row-link" href={`/logs/${r.messageID}`}>{r.messageID}</Link>]],
          })}
        />
      </Stack>
    </form>
  );
}

/** Request sends a message and waits for the one that answers it. */
export function Request({ device }: { device: Schemas['Device'] }) {
  const t = words.use();
  const [topic, setTopic] = useState('set');
  const [reply, setReply] = useState('upload');
  const [body, setBody] = useState(empty);
  const [qos, setQos] = useState<0 | 1>(1);
  const [seconds, setSeconds] = useState(5);
  const params = { path: { productSN: device.productSN, deviceSN: device.deviceSN } };
  const send = useAct(
    () => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/request', { params, body: { topic, replyTopic: reply, qos, timeoutSeconds: seconds, ...sayBody(body) } })),
    { quiet: true },
  );
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        if (sayBody(body)) send.mutate(undefined);
      }}
    >
      <Stack maw={720}>
        <TextInput label={t.topic} description={t.topicHint(`/${device.productSN}/${device.deviceSN}/`)} required value={topic} onChange={(e) => setTopic(e.currentTarget.value)} spellCheck={false} />
        <TextInput label={t.replyTopic} required value={reply} onChange={(e) => setReply(e.currentTarget.value)} spellCheck={false} />
        <Body value={body} onChange={setBody} />
        <Group align="flex-end">
          <Qos value={qos} onChange={setQos} />
          <NumberInput label={t.timeout} min={1} max={60} value={seconds} onChange={(v) => setSeconds(Number(v) || 5)} w={200} />
        </Group>
        <Group>
          <Button type="submit" loading={send.isPending} disabled={topic.trim() === '' || reply.trim() === ''}>
            {t.ask}
          </Button>
        </Group>
        <Answer of={send} show={(r) => ({ good: true, title: t.answered, facts: [[t.topic, r.topic]], body: <Payload text={r.payload} base64={r.payloadBase64} label={t.payload} /> })} />
      </Stack>
    </form>
  );
}
