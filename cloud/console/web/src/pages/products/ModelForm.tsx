import { ActionIcon, Badge, Button, Group, Modal, Paper, Select, Stack, Table, Text, Textarea, TextInput, Title } from '@mantine/core';
import { useState } from 'react';
import { Icon } from '../../kit/icons';
import type { DataType, Parameter, ThingCommand, ThingEvent, ThingModel, ThingProperty } from '../../kit/schema';
import { words as kitWords } from '../../kit/text';
import { DataTypeForm, Parameters, typeOf } from './DataTypeForm';
import { words } from './modelText';

type Kind = keyof ThingModel;
type Entry = ThingProperty | ThingEvent | ThingCommand;

const kinds: Kind[] = ['Property', 'Event', 'Command'];

/** ModelForm is a thing model in three tables. Without onChange it is only to be read. */
export function ModelForm({ model, onChange }: { model: ThingModel; onChange?: (m: ThingModel) => void }) {
  const [open, setOpen] = useState<{ kind: Kind; at: number } | null>(null);
  const put = (kind: Kind, at: number, entry?: Entry) => {
    const list = [...model[kind]] as Entry[];
    if (entry === undefined) list.splice(at, 1);
    else list[at] = entry;
    onChange?.({ ...model, [kind]: list });
  };
  return (
    <Stack>
      {kinds.map((kind) => (
        <Entries key={kind} kind={kind} list={model[kind]} onOpen={onChange && ((at) => setOpen({ kind, at }))} onRemove={(at) => put(kind, at)} />
      ))}
      {open && (
        <EntryDialog
          kind={open.kind}
          entry={(model[open.kind] as Entry[])[open.at]}
          onClose={() => setOpen(null)}
          onDone={(entry) => {
            put(open.kind, open.at, entry);
            setOpen(null);
          }}
        />
      )}
    </Stack>
  );
}

/** short is a type in a few letters. */
function short(d?: DataType): string {
  if (!d) return '';
  const s = (d.Spec ?? {}) as { Item?: DataType; UnitName?: string };
  if (d.Type === 'array') return `${d.Type} <${short(s.Item)}>`;
  return s.UnitName ? `${d.Type} (${s.UnitName})` : d.Type;
}

function Entries({ kind, list, onOpen, onRemove }: { kind: Kind; list: Entry[]; onOpen?: (at: number) => void; onRemove: (at: number) => void }) {
  const t = words.use();
  const title = { Property: t.properties, Event: t.events, Command: t.commands }[kind];
  return (
    <Paper withBorder p="md" component="section" aria-label={title}>
      <Group justify="space-between" mb="xs">
        <Title order={2} size="h5">
          {title} <span className="dim">{list.length}</span>
        </Title>
        {onOpen && (
          <Button size="xs" variant="default" leftSection={<Icon name="plus" size={14} />} onClick={() => onOpen(list.length)} disabled={list.length >= 100} aria-label={`${t.add}: ${title}`}>
            {t.add}
          </Button>
        )}
      </Group>
      {list.length === 0 ? (
        <Text size="sm" c="dimmed">
          {t.none}
        </Text>
      ) : (
        <Table.ScrollContainer minWidth={420} type="native" tabIndex={0} role="region" aria-label={title}>
          <Table verticalSpacing="xs">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t.identifier}</Table.Th>
                <Table.Th>{t.name}</Table.Th>
                <Table.Th>{kind === 'Property' ? t.type : kind === 'Event' ? t.output : t.input}</Table.Th>
                <Table.Th />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {list.map((e, i) => (
                <Table.Tr key={i}>
                  <Table.Td className="cell">{e.Identifier}</Table.Td>
                  <Table.Td className="cell">{e.Name}</Table.Td>
                  <Table.Td className="cell">
                    <Shape kind={kind} entry={e} />
                  </Table.Td>
                  <Table.Td ta="end" className="nowrap">
                    {onOpen && (
                      <>
                        <ActionIcon variant="subtle" color="gray" aria-label={t.edit(e.Identifier)} onClick={() => onOpen(i)}>
                          <Icon name="edit" size={16} />
                        </ActionIcon>
                        <ActionIcon variant="subtle" color="red" aria-label={t.remove(e.Identifier)} onClick={() => onRemove(i)}>
                          <Icon name="trash" size={16} />
                        </ActionIcon>
                      </>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
    </Paper>
  );
}

function Shape({ kind, entry }: { kind: Kind; entry: Entry }) {
  if (kind === 'Property') {
    const p = entry as ThingProperty;
    return (
      <>
        {short(p.DataType)} <Badge variant="default" className="badge">{p.AccessMode ?? 'r'}</Badge>
      </>
    );
  }
  const list = (kind === 'Event' ? (entry as ThingEvent).Output : (entry as ThingCommand).Input) ?? [];
  return <>{list.map((p) => `${p.Identifier}: ${short(p.DataType)}`).join(', ')}</>;
}

function fresh(kind: Kind): Entry {
  switch (kind) {
    case 'Property':
      return { Identifier: '', Name: '', AccessMode: 'r', DataType: typeOf('float64') };
    case 'Event':
      return { Identifier: '', Name: '', Type: 'notify', Output: [] };
    case 'Command':
      return { Identifier: '', Name: '', Input: [], Output: [] };
  }
}

interface DialogProps {
  kind: Kind;
  entry?: Entry;
  onClose: () => void;
  onDone: (entry: Entry) => void;
}

function EntryDialog({ kind, entry, onClose, onDone }: DialogProps) {
  const t = words.use();
  const kit = kitWords.use();
  const [now, setNow] = useState<Entry>(entry ?? fresh(kind));
  const set = (change: Partial<ThingProperty & ThingEvent & ThingCommand>) => setNow({ ...now, ...change } as Entry);
  return (
    <Modal opened onClose={onClose} title={entry ? t.edit(entry.Identifier) : t.add} size="lg" closeButtonProps={{ 'aria-label': kit.close }}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          onDone(now);
        }}
      >
        <Stack>
          <Group grow>
            <TextInput label={t.identifier} required value={now.Identifier} onChange={(e) => set({ Identifier: e.currentTarget.value })} spellCheck={false} data-autofocus />
            <TextInput label={t.name} value={now.Name ?? ''} onChange={(e) => set({ Name: e.currentTarget.value })} />
          </Group>
          <Textarea label={t.description} autosize value={now.Description ?? ''} onChange={(e) => set({ Description: e.currentTarget.value || undefined })} />
          <Content kind={kind} now={now} set={set} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {kit.cancel}
            </Button>
            <Button type="submit">{t.done}</Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function Content({ kind, now, set }: { kind: Kind; now: Entry; set: (change: Partial<ThingProperty & ThingEvent & ThingCommand>) => void }) {
  const t = words.use();
  if (kind === 'Property') {
    const p = now as ThingProperty;
    return (
      <>
        <Select
          label={t.access}
          data={[
            { value: 'r', label: t.read },
            { value: 'rw', label: t.readWrite },
          ]}
          value={p.AccessMode ?? 'r'}
          allowDeselect={false}
          onChange={(v) => set({ AccessMode: v ?? 'r' })}
        />
        <DataTypeForm value={p.DataType} onChange={(DataType) => set({ DataType })} />
      </>
    );
  }
  const parameters = (name: 'Input' | 'Output', legend: string) => <Parameters legend={legend} value={((now as ThingCommand)[name] ?? []) as Parameter[]} onChange={(list) => set({ [name]: list })} />;
  if (kind === 'Event') {
    return (
      <>
        <Select label={t.severity} data={(['notify', 'warning', 'error'] as const).map((v) => ({ value: v, label: t[v] }))} value={(now as ThingEvent).Type ?? 'notify'} allowDeselect={false} onChange={(v) => set({ Type: v ?? 'notify' })} />
        {parameters('Output', t.output)}
      </>
    );
  }
  return (
    <>
      {parameters('Input', t.input)}
      {parameters('Output', t.output)}
    </>
  );
}
