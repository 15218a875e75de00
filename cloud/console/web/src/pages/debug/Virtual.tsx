import { ActionIcon, Alert, Badge, Button, Group, Paper, PasswordInput, SimpleGrid, Stack, Text, TextInput, Title } from '@mantine/core';
import { useEffect, useRef, useState } from 'react';
import type { Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { toBase64, toBytes } from '../../kit/octets';
import { Payload } from '../../kit/Payload';
import { deviceSecret } from '../../kit/Secret';
import { words as kitWords } from '../../kit/text';
import { Time } from '../../kit/Time';
import { toastProblem } from '../../kit/toast';
import { Body, sayBody, type BodyValue } from './Body';
import { doorOf, Link, type Incoming, type LinkState } from './link';
import { Qos } from './Publish';
import { words } from './text';

/** How many messages are held; older ones go. */
const most = 200;

/** Virtual is the device played in the browser: it logs in with the device's secret, subscribes, publishes and shows what comes. */
export default function Virtual({ device }: { device: Schemas['Device'] }) {
  const t = words.use();
  const [secret, setSecret] = useState('');
  const { may } = useSession();
  const room = useLink(device);
  const open = room.state === 'open';
  return (
    <Stack>
      <Text size="sm" c="dimmed" maw={720}>
        {t.virtualHint}
      </Text>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          if (open) room.close();
          else if (secret || !may('device.secret', device.productSN)) room.open(secret);
          else deviceSecret(device).then(room.open, toastProblem); // nothing typed: the device's own
        }}
      >
        <Group align="flex-end">
          <PasswordInput label={t.secret} value={secret} onChange={(e) => setSecret(e.currentTarget.value)} w={280} autoComplete="off" disabled={open} visibilityToggleButtonProps={{ 'aria-label': t.showSecret }} />
          <Button type="submit" variant={open ? 'default' : 'filled'} loading={room.state === 'connecting'} disabled={secret === '' && !may('device.secret', device.productSN)}>
            {open ? t.disconnect : t.connect}
          </Button>
          <Badge variant="light" color={open ? 'green' : room.state === 'lost' ? 'red' : 'gray'} className="badge" mb={10} data-link={room.state}>
            {t[`link_${room.state}`]}
          </Badge>
        </Group>
      </form>
      {room.why && <Alert color="red">{room.why}</Alert>}
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Subscriptions device={device} open={open} topics={room.topics} onAdd={room.subscribe} onDrop={room.unsubscribe} />
        <Send device={device} open={open} onSend={room.publish} />
      </SimpleGrid>
      <Messages of={room.messages} dropped={room.dropped} onClear={room.clear} />
    </Stack>
  );
}

/** useLink is the connection and what went over it. It ends with the page. */
function useLink(device: Schemas['Device']) {
  const link = useRef<Link>(null);
  const last = useRef(0);
  const [state, setState] = useState<LinkState>('closed');
  const [why, setWhy] = useState('');
  const [topics, setTopics] = useState<string[]>([]);
  const [log, setLog] = useState<{ messages: Incoming[]; dropped: number }>({ messages: [], dropped: 0 });
  // What a connection tells counts while it is the one of the page: another may have been begun since, or the page be gone.
  const turn = useRef(0);
  useEffect(
    () => () => {
      turn.current = -1;
      link.current?.close();
    },
    [],
  );
  const note = (way: Incoming['way'], topic: string, octets: Uint8Array, qos: number) => {
    const entry = { id: ++last.current, at: Date.now(), way, topic, octets, qos };
    setLog((old) => ({ messages: [entry, ...old.messages].slice(0, most), dropped: old.dropped + Math.max(0, old.messages.length + 1 - most) }));
  };
  const fail = (err: unknown) => toastProblem(err);
  return {
    state,
    why,
    topics,
    ...log,
    open(secret: string) {
      if (turn.current < 0) return; // the secret came after the reader had gone
      const mine = ++turn.current;
      const is = () => turn.current === mine;
      link.current?.close();
      setWhy('');
      setTopics([]);
      link.current = new Link(doorOf(location), { product: device.productSN, device: device.deviceSN, secret }, {
        onState(next, reason) {
          if (!is()) return;
          setState(next);
          if (reason) setWhy(reason);
          if (next !== 'open') setTopics([]);
        },
        onMessage: (topic, octets, qos) => is() && note('in', topic, octets, qos),
      });
    },
    close: () => link.current?.close(),
    subscribe(topic: string) {
      const refused = new Error(words.now().refused(topic));
      link.current
        ?.subscribe(topic, 1)
        .then((granted) => (granted ? setTopics((old) => [...new Set([...old, topic])]) : fail(refused)))
        .catch(() => fail(refused));
    },
    unsubscribe(topic: string) {
      link.current?.unsubscribe(topic).then(() => setTopics((old) => old.filter((o) => o !== topic)), fail);
    },
    publish(topic: string, octets: Uint8Array, qos: 0 | 1) {
      link.current?.publish(topic, octets, qos).then(() => note('out', topic, octets, qos), fail);
    },
    clear: () => setLog({ messages: [], dropped: 0 }),
  };
}

function Subscriptions({ device, open, topics, onAdd, onDrop }: { device: Schemas['Device']; open: boolean; topics: string[]; onAdd: (t: string) => void; onDrop: (t: string) => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const own = `/${device.productSN}/${device.deviceSN}`;
  const system = `/$system/${device.productSN}/${device.deviceSN}`;
  const [topic, setTopic] = useState(`${own}/set`);
  const usual = [`${own}/set`, `${system}/tmodel/property/post_reply`, `${system}/tmodel/property/set`, `${system}/tmodel/command/call`];
  return (
    <Paper withBorder p="md">
      <Stack gap="sm">
        <Title order={2} size="h5">
          {t.subscriptions}
        </Title>
        <form
          onSubmit={(e) => {
            e.preventDefault();
            onAdd(topic);
          }}
        >
          <Group align="flex-end" wrap="nowrap">
            <TextInput label={t.filterOf} value={topic} onChange={(e) => setTopic(e.currentTarget.value)} className="grow" spellCheck={false} list="usual-topics" />
            <datalist id="usual-topics">
              {usual.map((u) => (
                <option key={u} value={u} />
              ))}
            </datalist>
            <Button type="submit" variant="default" disabled={!open || topic === ''}>
              {t.subscribe}
            </Button>
          </Group>
        </form>
        {topics.map((s) => (
          <Group key={s} justify="space-between" wrap="nowrap" data-subscription>
            <Text size="sm" className="wrap">
              {s}
            </Text>
            <ActionIcon variant="subtle" color="gray" aria-label={`${kit.drop} ${s}`} onClick={() => onDrop(s)}>
              <Icon name="close" size={14} />
            </ActionIcon>
          </Group>
        ))}
      </Stack>
    </Paper>
  );
}

function Send({ device, open, onSend }: { device: Schemas['Device']; open: boolean; onSend: (topic: string, octets: Uint8Array, qos: 0 | 1) => void }) {
  const t = words.use();
  const [topic, setTopic] = useState(`/${device.productSN}/${device.deviceSN}/upload`);
  const [body, setBody] = useState<BodyValue>({ text: '{}', encoding: 'text' });
  const [qos, setQos] = useState<0 | 1>(1);
  const send = () => {
    const said = sayBody(body);
    if (said) onSend(topic, said.payloadBase64 === undefined ? new TextEncoder().encode(said.payload ?? '') : toBytes(said.payloadBase64), qos);
  };
  return (
    <Paper withBorder p="md">
      <form
        onSubmit={(e) => {
          e.preventDefault();
          send();
        }}
      >
        <Stack gap="sm">
          <Title order={2} size="h5">
            {t.publish}
          </Title>
          <TextInput label={t.topic} value={topic} onChange={(e) => setTopic(e.currentTarget.value)} spellCheck={false} />
          <Body value={body} onChange={setBody} />
          <Group align="flex-end" justify="space-between">
            <Qos value={qos} onChange={setQos} />
            <Button type="submit" disabled={!open || topic === ''}>
              {t.send}
            </Button>
          </Group>
        </Stack>
      </form>
    </Paper>
  );
}

function Messages({ of, dropped, onClear }: { of: Incoming[]; dropped: number; onClear: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  return (
    <Stack gap="xs" role="log" aria-label={t.messages}>
      <Group justify="space-between">
        <Title order={2} size="h5">
          {t.messages}
        </Title>
        <Button size="xs" variant="default" onClick={onClear} disabled={of.length === 0}>
          {kit.clear}
        </Button>
      </Group>
      {of.length === 0 && <Text c="dimmed">{t.noMessages}</Text>}
      {of.map((m) => (
        <Paper key={m.id} withBorder p="sm" data-way={m.way}>
          <Group gap="xs" mb={6}>
            <Badge variant="light" color={m.way === 'in' ? 'cyan' : 'violet'} className="badge">
              {m.way === 'in' ? t.came : t.sent}
            </Badge>
            <Text size="sm" className="wrap">
              {m.topic}
            </Text>
            <Text size="xs" c="dimmed">
              {`QoS ${m.qos}`} <Time at={m.at} exact />
            </Text>
          </Group>
          <Payload base64={toBase64(m.octets)} label={m.topic} />
        </Paper>
      ))}
      {dropped > 0 && <Text c="dimmed">{t.olderGone(numeral(dropped))}</Text>}
    </Stack>
  );
}
