import { Alert, Badge, Button, Group, Paper, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { useState } from 'react';
import { api, tagged, take, type Schemas } from '../../api/client';
import { hasCode } from '../../api/problem';
import { useSession } from '../../app/session';
import { CodeEditor } from '../../kit/CodeEditor';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct, useRead } from '../../kit/data';
import { dictionary } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { JsonView } from '../../kit/JsonView';
import { ListPage, type Column } from '../../kit/ListPage';
import { Ready } from '../../kit/Page';
import { useRefresh } from '../../kit/refresh';
import { eventsPath } from '../../kit/stream';
import { words as kitWords } from '../../kit/text';
import { Time } from '../../kit/Time';
import { useWho } from '../../kit/who';
import { toastProblem } from '../../kit/toast';
import { deltaOf, patchOf, type Document } from './delta';

const words = dictionary({
  en: {
    reported: 'Reported',
    desired: 'Desired',
    delta: 'Difference',
    same: 'The device is as desired',
    edit: 'Change desired',
    save: 'Save',
    saved: 'The shadow is changed',
    reset: 'Empty',
    resetSure: 'Everything that is reported and desired is forgotten.',
    resetDone: 'The shadow is empty',
    version: (n: number, revision: number) => `Version ${n}, revision ${revision}`,
    conflict: 'Somebody else changed the shadow while you edited',
    conflictMore: 'Below is what is desired now. Take it and lose your changes, or save yours over it.',
    theirs: 'Take what is there',
    mine: 'Save mine',
    wrong: 'Must be a JSON object',
    off: 'This product has no shadows',
    history: 'Changes',
    when: 'When',
    by: 'By',
    change: 'Change',
    revision: 'Revision',
    editor: 'Desired values',
  },
  zh: {
    reported: '上报值',
    desired: '期望值',
    delta: '差异',
    same: '设备与期望一致',
    edit: '修改期望值',
    save: '保存',
    saved: '影子已修改',
    reset: '清空',
    resetSure: '所有上报值和期望值都将被清除。',
    resetDone: '影子已清空',
    version: (n: number, revision: number) => `版本 ${n},修订号 ${revision}`,
    conflict: '编辑期间影子已被他人修改',
    conflictMore: '下方为当前期望值。可采用它并放弃您的修改,或用您的修改覆盖。',
    theirs: '采用现有值',
    mine: '保存我的修改',
    wrong: '必须是 JSON 对象',
    off: '此产品没有影子',
    history: '变更记录',
    when: '时间',
    by: '来源',
    change: '变更',
    revision: '修订号',
    editor: '期望值',
  },
});

type Device = Schemas['Device'];
type Tagged = { body: Schemas['Shadow']; etag: string };

export default function Shadow({ device }: { device: Device }) {
  const t = words.use();
  const path = { productSN: device.productSN, deviceSN: device.deviceSN };
  const key = ['shadow', device.productSN, device.deviceSN];
  const read = useRead(key, (signal) => tagged(api.GET('/v1/products/{productSN}/devices/{deviceSN}/shadow', { params: { path }, signal })));
  useRefresh(eventsPath({ product: device.productSN, device: device.deviceSN, types: ['shadow'] }), [key, ['shadow-history', device.productSN, device.deviceSN]]);
  if (hasCode(read.error, 'shadow_disabled')) return <Text c="dimmed">{t.off}</Text>;
  return <Ready of={read}>{(shadow) => <Documents device={device} shadow={shadow} />}</Ready>;
}

function Documents({ device, shadow }: { device: Device; shadow: Tagged }) {
  const t = words.use();
  const { may } = useSession();
  const [editing, setEditing] = useState(false);
  const { state, version, revision, timestamp } = shadow.body;
  const reported = (state.reported ?? {}) as Document;
  const desired = (state.desired ?? {}) as Document;
  const delta = deltaOf(desired, reported);
  const control = may('device.control', device.productSN);
  return (
    <Stack>
      <Group>
        <Text size="sm" c="dimmed">
          {t.version(version, revision)} · <Time at={timestamp * 1000} />
        </Text>
        {control && (
          <Group ml="auto" gap="xs">
            <Button variant="default" leftSection={<Icon name="edit" size={16} />} onClick={() => setEditing(true)} disabled={editing}>
              {t.edit}
            </Button>
            <Reset device={device} />
          </Group>
        )}
      </Group>
      {editing && <Edit device={device} shadow={shadow} onClose={() => setEditing(false)} />}
      <SimpleGrid cols={{ base: 1, md: 3 }}>
        <Side title={t.reported} of={reported} />
        <Side title={t.desired} of={desired} />
        <Side title={t.delta} of={delta} empty={t.same} />
      </SimpleGrid>
      <Title order={2} size="h4">
        {t.history}
      </Title>
      <History device={device} />
    </Stack>
  );
}

function Side({ title, of, empty }: { title: string; of: Document; empty?: string }) {
  const count = Object.keys(of).length;
  return (
    <Paper withBorder p="md" component="section" aria-label={title} data-side={title}>
      <Group mb="xs" gap="xs">
        <Title order={2} size="h5">
          {title}
        </Title>
        <Badge variant="default">{count}</Badge>
      </Group>
      {count === 0 && empty ? <Text size="sm" c="dimmed">{empty}</Text> : <JsonView value={of} label={title} />}
    </Paper>
  );
}

function Reset({ device }: { device: Device }) {
  const t = words.use();
  const [asked, setAsked] = useState(false);
  const path = { productSN: device.productSN, deviceSN: device.deviceSN };
  const reset = useAct(() => take(api.DELETE('/v1/products/{productSN}/devices/{deviceSN}/shadow', { params: { path } })), { keys: [['shadow', device.productSN, device.deviceSN]], done: t.resetDone });
  return (
    <>
      <Button variant="default" c="red" onClick={() => setAsked(true)}>
        {t.reset}
      </Button>
      <ConfirmDialog opened={asked} onClose={() => setAsked(false)} title={t.reset} action={t.reset} name={device.deviceSN} busy={reset.isPending} onConfirm={() => reset.mutate(undefined, { onSettled: () => setAsked(false) })}>
        {t.resetSure}
      </ConfirmDialog>
    </>
  );
}

/** parse is what was typed as an object, undefined when it is none. */
function parse(text: string): Document | undefined {
  try {
    const v: unknown = JSON.parse(text);
    return typeof v === 'object' && v !== null && !Array.isArray(v) ? (v as Document) : undefined;
  } catch {
    return undefined;
  }
}

/** Edit changes what is desired. What is sent holds only if the shadow is still what it was when the editing began. */
function Edit({ device, shadow, onClose }: { device: Device; shadow: Tagged; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const desiredOf = (s: Tagged) => (s.body.state.desired ?? {}) as Document;
  const [base, setBase] = useState(shadow);
  const [typed, setTyped] = useState(() => JSON.stringify(desiredOf(shadow), null, 2));
  const [theirs, setTheirs] = useState<Tagged | null>(null);
  const value = parse(typed);
  const path = { productSN: device.productSN, deviceSN: device.deviceSN };
  const save = useAct<Tagged, unknown>(
    (from) =>
      take(api.PATCH('/v1/products/{productSN}/devices/{deviceSN}/shadow', { params: { path, header: { 'If-Match': from.etag } }, body: { desired: patchOf(desiredOf(from), value ?? {}), merge: false } })),
    { keys: [['shadow', device.productSN, device.deviceSN]], done: t.saved, quiet: true },
  );
  // A device that reports makes another revision too: who has not changed what is desired is in nobody's way.
  const send = (from: Tagged, tries = 5) =>
    save.mutate(from, {
      onSuccess: onClose,
      async onError(err) {
        if (!hasCode(err, 'revision_mismatch')) return toastProblem(err);
        try {
          const now = await tagged(api.GET('/v1/products/{productSN}/devices/{deviceSN}/shadow', { params: { path } }));
          if (tries > 0 && JSON.stringify(desiredOf(now)) === JSON.stringify(desiredOf(from))) send(now, tries - 1);
          else setTheirs(now);
        } catch (failed) {
          toastProblem(failed);
        }
      },
    });
  return (
    <Paper withBorder p="md">
      <Stack>
        <CodeEditor language="json" label={t.editor} value={typed} onChange={setTyped} height="14rem" />
        {!value && (
          <Text c="red" size="sm" role="alert">
            {t.wrong}
          </Text>
        )}
        {theirs && (
          <Alert color="yellow" title={t.conflict} icon={<Icon name="warning" />} role="alert" data-conflict>
            <Stack gap="xs">
              <Text size="sm">{t.conflictMore}</Text>
              <JsonView value={desiredOf(theirs)} label={t.desired} />
              <Group>
                <Button
                  size="xs"
                  variant="default"
                  onClick={() => {
                    setBase(theirs);
                    setTyped(JSON.stringify(desiredOf(theirs), null, 2));
                    setTheirs(null);
                  }}
                >
                  {t.theirs}
                </Button>
                <Button size="xs" disabled={!value} onClick={() => send(theirs)}>
                  {t.mine}
                </Button>
              </Group>
            </Stack>
          </Alert>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {kit.cancel}
          </Button>
          <Button disabled={!value || theirs !== null} loading={save.isPending} onClick={() => send(base)}>
            {t.save}
          </Button>
        </Group>
      </Stack>
    </Paper>
  );
}

type Change = Schemas['ShadowChange'];

function History({ device }: { device: Device }) {
  const t = words.use();
  const who = useWho();
  const path = { productSN: device.productSN, deviceSN: device.deviceSN };
  const columns: Column<Change>[] = [
    { id: 'revision', title: t.revision, cell: (c) => c.revision, csv: (c) => c.revision },
    { id: 'at', title: t.when, cell: (c) => <Time at={c.at} exact />, csv: (c) => c.at },
    { id: 'by', title: t.by, cell: (c) => (c.name ? (who(`${c.by}:${c.name}`) ?? c.name).replace(':', ' ') : c.by), csv: (c) => [c.by, c.name].filter(Boolean).join(' ') },
    { id: 'change', title: t.change, cell: (c) => <JsonView value={c.change} open={1} />, csv: (c) => c.change },
  ];
  return (
    <ListPage<Change>
      name="shadow-history"
      about={[device.productSN, device.deviceSN]}
      columns={columns}
      rowKey={(c) => String(c.revision)}
      load={({ cursor, limit, signal }) => take(api.GET('/v1/products/{productSN}/devices/{deviceSN}/shadow/history', { params: { path, query: { cursor: cursor || undefined, limit } }, signal }))}
    />
  );
}
