import { api, take, type Schemas } from '../../api/client';
import { ListPage, type Column } from '../../kit/ListPage';
import { Time } from '../../kit/Time';
import { words } from './text';

type Connection = Schemas['Connection'];

export default function Connections({ device }: { device: Schemas['Device'] }) {
  const t = words.use();
  const columns: Column<Connection>[] = [
    { id: 'time', title: t.when, cell: (c) => <Time at={c.time} exact />, csv: (c) => c.time },
    { id: 'event', title: t.event, cell: (c) => (c.event === 'online' ? t.came : t.went), csv: (c) => c.event },
    { id: 'reason', title: t.reason, cell: (c) => c.reason, csv: (c) => c.reason },
    { id: 'remote', title: t.from, cell: (c) => c.remote, csv: (c) => c.remote },
    { id: 'transport', title: t.transport, cell: (c) => c.transport, csv: (c) => c.transport },
    { id: 'protocol', title: t.protocol, cell: (c) => c.protocol, csv: (c) => c.protocol },
  ];
  const path = { productSN: device.productSN, deviceSN: device.deviceSN };
  return (
    <ListPage<Connection>
      name="connections"
      about={[device.productSN, device.deviceSN]}
      columns={columns}
      rowKey={(c) => `${c.time} ${c.event} ${c.epoch ?? ''}`}
      load={({ cursor, limit, signal }) => take(api.GET('/v1/products/{productSN}/devices/{deviceSN}/connections', { params: { path, query: { cursor: cursor || undefined, limit } }, signal }))}
    />
  );
}
