import { Badge, Button, Group, Modal, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { Facts } from '../../kit/Facts';
import { ListPage, type Column } from '../../kit/ListPage';
import { useParam } from '../../kit/params';
import { Since } from '../../kit/Since';
import { words as kitWords } from '../../kit/text';
import { Time } from '../../kit/Time';
import { auditQuery } from './auditQuery';
import { words } from './text';

const objectExample = '/v1/products/';
const operationExample = 'update*';
const actorExample = 'ann@example.com';

type Entry = Schemas['AuditEntry'];

/** Audit is what was changed, by whom, and what differs. */
export function Audit() {
  const t = words.use();
  const kit = kitWords.use();
  const [actor] = useParam('actor');
  const [operation] = useParam('operation');
  const [object] = useParam('object');
  const [result] = useParam('result');
  const [since] = useParam('since');
  const [until] = useParam('until');
  const [opened, setOpened] = useState<Entry>();
  const columns: Column<Entry>[] = [
    { id: 'when', title: t.when, sort: 'created', cell: (e) => <Time at={e.at} exact />, csv: (e) => e.at },
    { id: 'who', title: t.who, cell: (e) => e.actorName || e.actor, csv: (e) => e.actorName || e.actor },
    { id: 'operation', title: t.operation, cell: (e) => e.operation, csv: (e) => e.operation },
    { id: 'object', title: t.object, cell: (e) => <span className="cell">{e.object}</span>, csv: (e) => e.object },
    { id: 'result', title: t.result, cell: (e) => <Result of={e} />, csv: (e) => e.result },
    { id: 'address', title: t.address, hidden: true, cell: (e) => e.address, csv: (e) => e.address },
    {
      id: 'change',
      title: t.change,
      csv: (e) => JSON.stringify(e.diff ?? []),
      cell: (e) => (
        <Button size="compact-xs" variant="default" onClick={() => setOpened(e)} aria-label={t.details(e.operation)}>
          {t.change}
        </Button>
      ),
    },
  ];
  const choice = { actor, operation, object, result, since, until };
  return (
    <>
      <ListPage<Entry>
        name="audit"
        about={[choice]}
        columns={columns}
        rowKey={(e) => e.id}
        empty={Object.values(choice).some(Boolean) ? kit.noMatch : t.noEntries}
        facets={<Facets />}
        load={({ sort, cursor, limit, signal }) => take(api.GET('/v1/audit', { params: { query: { ...auditQuery(choice, sort), cursor: cursor || undefined, limit } }, signal }))}
      />
      {opened && <Change of={opened} onClose={() => setOpened(undefined)} />}
    </>
  );
}

function Facets() {
  const t = words.use();
  const [actor, setActor] = useParam('actor');
  const [operation, setOperation] = useParam('operation');
  const [object, setObject] = useParam('object');
  const [result, setResult] = useParam('result');
  return (
    <>
      <TextInput label={t.who} placeholder={actorExample} w={170} spellCheck={false} value={actor} onChange={(e) => setActor(e.currentTarget.value, 'replace')} />
      <TextInput label={t.operation} placeholder={operationExample} w={150} spellCheck={false} value={operation} onChange={(e) => setOperation(e.currentTarget.value, 'replace')} />
      <TextInput label={t.objectFilter} placeholder={objectExample} w={190} spellCheck={false} value={object} onChange={(e) => setObject(e.currentTarget.value, 'replace')} />
      <Select
        label={t.result}
        allowDeselect={false}
        w={170}
        value={result}
        onChange={(v) => setResult(v ?? '')}
        data={[
          { value: '', label: t.all },
          { value: 'done', label: t.done },
          { value: 'failed', label: t.failed },
        ]}
      />
      <Since w={160} />
    </>
  );
}

function Result({ of: e }: { of: Entry }) {
  const good = e.result >= 200 && e.result < 300;
  return (
    <Badge variant="light" color={good ? 'green' : 'red'} className="badge">
      {e.code ? `${e.result} ${e.code}` : e.result}
    </Badge>
  );
}

function Change({ of: e, onClose }: { of: Entry; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const text = (v: unknown) => (v === undefined ? '' : typeof v === 'string' ? v : JSON.stringify(v));
  return (
    <Modal opened onClose={onClose} title={t.details(e.operation)} size="xl" closeButtonProps={{ 'aria-label': kit.close }}>
      <Stack>
        <Facts
          of={[
            [t.when, <Time key="w" at={e.at} exact />],
            [t.who, `${e.actorName ?? ''} ${e.actor ?? ''}`.trim()],
            [t.address, e.address],
            [t.object, e.object],
          ]}
        />
        {(e.diff ?? []).length === 0 ? (
          <Text c="dimmed">{t.noChange}</Text>
        ) : (
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t.change}</Table.Th>
                <Table.Th>{t.before}</Table.Th>
                <Table.Th>{t.after}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {e.diff!.map((step) => (
                <Table.Tr key={step.path}>
                  <Table.Td className="wrap">{step.path || '/'}</Table.Td>
                  <Table.Td className="json">{text(step.before)}</Table.Td>
                  <Table.Td className="json">{step.note || text(step.after)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        )}
        <Group justify="flex-end">
          <Button onClick={onClose}>{kit.close}</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
