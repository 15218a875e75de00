import { Badge, Button, Group, Modal, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { Facts } from '../../kit/Facts';
import { ListPage, type Column } from '../../kit/ListPage';
import { useParam } from '../../kit/params';
import { words as kitWords } from '../../kit/text';
import { Time } from '../../kit/Time';
import { words } from './text';

const objectExample = '/v1/products/';

type Entry = Schemas['AuditEntry'];

/** Audit is what was changed, by whom, and what differs. */
export function Audit() {
  const t = words.use();
  const [object] = useParam('object');
  const [result] = useParam('result');
  const [since] = useParam('since');
  const [until] = useParam('until');
  const [opened, setOpened] = useState<Entry>();
  const columns: Column<Entry>[] = [
    { id: 'when', title: t.when, cell: (e) => <Time at={e.at} exact />, csv: (e) => e.at },
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
  const time = (s: string) => (Number.isNaN(Date.parse(s)) ? undefined : new Date(s).toISOString());
  return (
    <>
      <ListPage<Entry>
        name="audit"
        about={[object, result, since, until]}
        columns={columns}
        rowKey={(e) => e.id}
        empty={t.noEntries}
        facets={<Facets />}
        load={({ cursor, limit, signal }) => {
          const query = { object: object || undefined, failed: result === '' ? undefined : result === 'failed', since: time(since), until: time(until), cursor: cursor || undefined, limit };
          return take(api.GET('/v1/audit', { params: { query }, signal }));
        }}
      />
      {opened && <Change of={opened} onClose={() => setOpened(undefined)} />}
    </>
  );
}

function Facets() {
  const t = words.use();
  const [object, setObject] = useParam('object');
  const [result, setResult] = useParam('result');
  const [since, setSince] = useParam('since');
  const [until, setUntil] = useParam('until');
  return (
    <>
      <TextInput label={t.objectFilter} placeholder={objectExample} value={object} onChange={(e) => setObject(e.currentTarget.value, 'replace')} />
      <Select
        label={t.result}
        allowDeselect={false}
        w={190}
        value={result}
        onChange={(v) => setResult(v ?? '')}
        data={[
          { value: '', label: t.all },
          { value: 'done', label: t.done },
          { value: 'failed', label: t.failed },
        ]}
      />
      <TextInput type="datetime-local" label={t.from} value={since} onChange={(e) => setSince(e.currentTarget.value, 'replace')} />
      <TextInput type="datetime-local" label={t.until} value={until} onChange={(e) => setUntil(e.currentTarget.value, 'replace')} />
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
