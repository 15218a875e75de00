import { Badge, Select } from '@mantine/core';
import { api, take, type Schemas } from '../../api/client';
import { dictionary } from '../../kit/i18n';
import { JsonView } from '../../kit/JsonView';
import { ListPage, type Column } from '../../kit/ListPage';
import { useModel } from '../../kit/model';
import { useParam } from '../../kit/params';
import { useRefresh } from '../../kit/refresh';
import { eventsPath } from '../../kit/stream';
import { Time } from '../../kit/Time';

const words = dictionary({
  en: { event: 'Event', type: 'Severity', when: 'When', received: 'Received', output: 'With', all: 'All', notify: 'notice', warning: 'warning', error: 'error', none: 'No events yet' },
  zh: { event: '事件', type: '级别', when: '时间', received: '接收时间', output: '内容', all: '全部', notify: '通知', warning: '警告', error: '错误', none: '还没有事件' },
});

const colours = { notify: 'blue', warning: 'yellow', error: 'red' };
type Record = Schemas['EventRecord'];
type Severity = Record['type'];

export default function Events({ device }: { device: Schemas['Device'] }) {
  const t = words.use();
  const { productSN, deviceSN } = device;
  const model = useModel(productSN);
  const [identifier, setIdentifier] = useParam('event');
  const [type, setType] = useParam('severity');
  useRefresh(eventsPath({ product: productSN, device: deviceSN, types: ['event'] }), [['events', productSN, deviceSN]]);
  const name = (id: string) => model.Event.find((e) => e.Identifier === id)?.Name || id;
  const columns: Column<Record>[] = [
    { id: 'event', title: t.event, cell: (e) => name(e.identifier), csv: (e) => e.identifier },
    { id: 'type', title: t.type, cell: (e) => <Badge variant="light" color={colours[e.type]} className="badge">{t[e.type]}</Badge>, csv: (e) => e.type },
    { id: 'time', title: t.when, cell: (e) => <Time at={e.time} exact />, csv: (e) => e.time },
    { id: 'output', title: t.output, cell: (e) => <JsonView value={e.output ?? {}} open={1} />, csv: (e) => e.output },
    { id: 'received', title: t.received, hidden: true, cell: (e) => <Time at={e.receivedAt} exact />, csv: (e) => e.receivedAt },
  ];
  return (
    <ListPage<Record>
      name="events"
      about={[productSN, deviceSN, identifier, type]}
      columns={columns}
      rowKey={(e) => e.id}
      empty={t.none}
      facets={
        <>
          <Select label={t.event} placeholder={t.all} clearable data={model.Event.map((e) => ({ value: e.Identifier, label: e.Name || e.Identifier }))} value={identifier || null} onChange={(v) => setIdentifier(v ?? '')} />
          <Select label={t.type} placeholder={t.all} clearable data={(['notify', 'warning', 'error'] as const).map((s) => ({ value: s, label: t[s] }))} value={type || null} onChange={(v) => setType(v ?? '')} />
        </>
      }
      load={({ cursor, limit, signal }) =>
        take(
          api.GET('/v1/products/{productSN}/devices/{deviceSN}/events', {
            params: { path: { productSN, deviceSN }, query: { cursor: cursor || undefined, limit, identifier: identifier || undefined, type: (type || undefined) as Severity | undefined } },
            signal,
          }),
        )
      }
    />
  );
}
