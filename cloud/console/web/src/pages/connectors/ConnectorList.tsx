import { Badge, Button } from '@mantine/core';
import { Link } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { BulkButtons } from '../../kit/BulkButtons';
import { Icon } from '../../kit/icons';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { Page } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { kindName } from './kinds';
import { words } from './text';

type Connector = Schemas['Connector'];

export function ConnectorList() {
  const t = words.use();
  const { may } = useSession();
  const columns: Column<Connector>[] = [
    { id: 'name', title: t.name, sort: 'name', cell: (c) => c.name, csv: (c) => c.name },
    { id: 'kind', title: t.kind, sort: 'kind', cell: (c) => kindName(c.kind), csv: (c) => c.kind },
    { id: 'target', title: t.target, cell: (c) => <span className="wrap">{targetOf(c)}</span>, csv: targetOf },
    { id: 'health', title: t.health, cell: (c) => <Health of={c.status} />, csv: (c) => c.status.state },
    { id: 'since', title: t.since, hidden: true, cell: (c) => <Time at={c.status.since} />, csv: (c) => c.status.since },
    { id: 'error', title: t.lastError, hidden: true, cell: (c) => c.status.lastError, csv: (c) => c.status.lastError },
    { id: 'used', title: t.usedBy, cell: (c) => t.rules(c.rules ?? 0), csv: (c) => c.rules ?? 0 },
    { id: 'description', title: t.description, hidden: true, cell: (c) => c.description, csv: (c) => c.description },
    { id: 'updated', title: t.updated, sort: 'updated', cell: (c) => <Time at={c.updatedAt} />, csv: (c) => c.updatedAt },
  ];
  return (
    <Page
      title={t.title}
      actions={
        may('rule.write') && (
          <Button component={Link} href="/connectors/new" leftSection={<Icon name="plus" />}>
            {t.create}
          </Button>
        )
      }
    >
      <ListPage<Connector>
        name="connectors"
        columns={columns}
        rowKey={(c) => c.id}
        rowLink={(c) => `/connectors/${c.id}`}
        empty={t.none}
        filter={{ placeholder: 'kind:mysql used:no' }}
        load={(q) => take(api.GET('/v1/connectors', { params: { query: asked(q) }, signal: q.signal }))}
        bulk={may('rule.write') ? (rows, clear) => <Bulk rows={rows} clear={clear} /> : undefined}
      />
    </Page>
  );
}

/** targetOf is where a connector leads to, as far as one line says it. */
export function targetOf(c: Connector): string {
  const of = c.config as Record<string, unknown>;
  const list = of.brokers ?? of.hosts ?? of.servers;
  if (Array.isArray(list)) return list.join(', ');
  if (typeof of.host === 'string') return [of.host, of.port].filter(Boolean).join(':') + (of.database ? ` / ${String(of.database)}` : '');
  return String(of.url ?? of.uri ?? '');
}

export function Health({ of }: { of: Schemas['ConnectorStatus'] }) {
  const t = words.use();
  const colours = { unused: 'gray', connected: 'green', disconnected: 'red' } as const;
  return (
    <Badge variant="light" color={colours[of.state]} className="badge" data-health={of.state}>
      {t[of.state]}
    </Badge>
  );
}

function Bulk({ rows, clear }: { rows: Connector[]; clear: () => void }) {
  const t = words.use();
  const path = (c: Connector) => ({ params: { path: { connectorID: c.id } } });
  return (
    <BulkButtons
      rows={rows}
      clear={clear}
      lists={['connectors']}
      name={(c) => c.name}
      acts={[
        { label: t.test, act: (c) => take(api.POST('/v1/connectors/{connectorID}/test', path(c))).then(refused) },
        { label: t.remove, takes: (c) => !c.rules, sure: t.removeMany, act: (c) => take(api.DELETE('/v1/connectors/{connectorID}', path(c))) },
      ]}
    />
  );
}

/** refused makes an error of a test that did not get through. */
function refused(r: Schemas['ConnectorTest']) {
  if (!r.ok) throw new Error(r.error);
}
