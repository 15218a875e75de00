import { Badge } from '@mantine/core';
import { api, take, type Schemas } from '../../api/client';
import { bytes, numeral } from '../../kit/i18n';
import { ListPage, type Column } from '../../kit/ListPage';
import { useRefresh } from '../../kit/refresh';
import { Time } from '../../kit/Time';
import { words } from './text';

type Node = Schemas['Node'];

/** Every so often what nodes say of themselves is read anew, while figures come in. */
const pause = 10_000;

/** Nodes are the processes that this hub is made of, as each has told of itself. */
export function Nodes() {
  const t = words.use();
  useRefresh('/v1/metrics/events', [['nodes']], pause);
  const columns: Column<Node>[] = [
    { id: 'name', title: t.node, cell: (n) => <b>{n.name}</b>, csv: (n) => n.name },
    {
      id: 'state',
      title: t.status,
      csv: (n) => n.up,
      cell: (n) => (
        <Badge variant="light" color={n.up ? 'green' : 'red'} className="badge" data-node={n.up ? 'up' : 'down'}>
          {n.up ? t.up : t.down}
        </Badge>
      ),
    },
    { id: 'version', title: t.version, cell: (n) => n.version, csv: (n) => n.version },
    { id: 'connections', title: t.nodeConnections, cell: (n) => numeral(n.connections), csv: (n) => n.connections },
    { id: 'heap', title: t.heap, cell: (n) => <span className="nowrap">{bytes(n.heapBytes)}</span>, csv: (n) => n.heapBytes },
    { id: 'disk', title: t.disk, cell: (n) => n.diskFreeBytes !== undefined && <span className="nowrap">{bytes(n.diskFreeBytes)}</span>, csv: (n) => n.diskFreeBytes },
    { id: 'queue', title: t.storeQueue, cell: (n) => numeral(n.storeQueue), csv: (n) => n.storeQueue },
    { id: 'goroutines', title: t.goroutines, hidden: true, cell: (n) => numeral(n.goroutines), csv: (n) => n.goroutines },
    { id: 'started', title: t.started, cell: (n) => <Time at={n.startedAt} />, csv: (n) => n.startedAt },
    { id: 'seen', title: t.toldAt, cell: (n) => <Time at={n.seenAt} />, csv: (n) => n.seenAt },
  ];
  return <ListPage<Node> name="nodes" columns={columns} rowKey={(n) => n.name} load={({ signal }) => take(api.GET('/v1/overview', { signal })).then((o) => ({ items: o.nodes, total: o.nodes.length }))} />;
}
