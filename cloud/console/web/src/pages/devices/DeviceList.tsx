import { Badge, Button, Group, Select } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { lazy, Suspense, useState } from 'react';
import { Link } from 'wouter';
import { api, currentProject, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { BulkButtons } from '../../kit/BulkButtons';
import { useRead } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { numeral } from '../../kit/i18n';
import { ListPage, type Column, type Paged } from '../../kit/ListPage';
import { Page } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { productName, useProducts } from '../../kit/products';
import { Seen, deviceStates, StateBadge, stateWords } from '../../kit/State';
import { eventsPath, useStream } from '../../kit/stream';
import { Time } from '../../kit/Time';
import { words as bulkWords } from './bulkText';
import { presenceOf } from './presence';
import { words } from './text';

const BulkJob = lazy(() => import('./BulkJob').then((m) => ({ default: m.BulkJob })));

type Device = Schemas['Device'];

export const pathOf = (d: { productSN: string; deviceSN: string }) => `/devices/${d.productSN}/${encodeURIComponent(d.deviceSN)}`;

/** together is a filter that holds what is chosen beside the line, and what is in it. */
function together(q: string, product: string, state: string): string {
  return [product && `product:${product}`, state && `state:${state}`, q && (product || state ? `(${q})` : q)].filter(Boolean).join(' ');
}

export function DeviceList() {
  const t = words.use();
  const [product, setProduct] = useParam('product');
  const [state] = useParam('state');
  const [q] = useParam('q');
  const products = useProducts();
  const { may } = useSession();
  const count = useRead(['devices', 'count', product, state, q], (signal) => take(api.GET('/v1/devices:count', { params: { query: { filter: together(q, product, state) || undefined } }, signal })));
  useLiveStates(product);
  const columns: Column<Device>[] = [
    { id: 'sn', title: t.device, sort: 'sn', cell: (d) => d.deviceSN, csv: (d) => d.deviceSN },
    { id: 'name', title: t.name, sort: 'name', cell: (d) => d.name, csv: (d) => d.name },
    { id: 'product', title: t.product, cell: (d) => productName(products, d.productSN), csv: (d) => d.productSN },
    { id: 'state', title: t.state, cell: (d) => <StateBadge state={d.state} />, csv: (d) => d.state },
    { id: 'seen', title: t.lastSeen, sort: 'lastSeen', cell: (d) => <Seen device={d} />, csv: (d) => d.lastSeen },
    { id: 'tags', title: t.tags, cell: (d) => <Tags of={d.tags} />, csv: (d) => tagsText(d.tags) },
    { id: 'created', title: t.created, sort: 'created', hidden: true, cell: (d) => <Time at={d.createdAt} />, csv: (d) => d.createdAt },
    { id: 'description', title: t.description, hidden: true, cell: (d) => d.description, csv: (d) => d.description },
  ];
  return (
    <Page
      title={t.title}
      badge={count.data && <Badge variant="default">{numeral(count.data.total)}</Badge>}
      actions={
        may('device.write') && (
          <>
            <All filter={together(q, product, state)} total={count.data?.total ?? 0} />
            <Button component={Link} href={`/devices/add${product && `?product=${product}`}`} leftSection={<Icon name="plus" />}>
              {t.addDevices}
            </Button>
          </>
        )
      }
    >
      <ListPage<Device>
        name="devices"
        about={[product, state]}
        columns={columns}
        rowKey={(d) => `${d.productSN}/${d.deviceSN}`}
        rowLink={pathOf}
        filter={{ placeholder: t.filterExample, hint: t.filterHint }}
        total={count.data?.total}
        empty={t.none}
        load={({ filter, sort, cursor, limit, signal }) =>
          take(api.GET('/v1/devices', { params: { query: { filter: together(filter, product, state) || undefined, sort: sort || undefined, cursor: cursor || undefined, limit } }, signal }))
        }
        facets={
          <>
            <Select
              label={t.product}
              placeholder={t.allProducts}
              data={products.map((p) => ({ value: p.productSN, label: p.name || p.productSN }))}
              value={product || null}
              onChange={(v) => setProduct(v ?? '')}
              searchable
              clearable
              w={190}
            />
            <StateSelect />
          </>
        }
        bulk={may('device.write') ? (rows, clear) => <Bulk rows={rows} clear={clear} /> : undefined}
      />
    </Page>
  );
}

/** All is the way to do something with all devices that are chosen, not only with those of the page. */
function All({ filter, total }: { filter: string; total: number }) {
  const t = bulkWords.use();
  // What was chosen when it was opened stays, also when there are none left afterwards: the result is still to be taken.
  const [of, setOf] = useState<{ filter: string; total: number }>();
  return (
    <>
      {total > 0 && (
        <Button variant="default" onClick={() => setOf({ filter, total })}>
          {t.open}
        </Button>
      )}
      {of && (
        <Suspense>
          <BulkJob {...of} onClose={() => setOf(undefined)} />
        </Suspense>
      )}
    </>
  );
}

function StateSelect() {
  const t = words.use();
  const names = stateWords.use();
  const [state, setState] = useParam('state');
  return <Select label={t.state} placeholder={t.allStates} data={deviceStates.map((s) => ({ value: s, label: names[s] }))} value={state || null} onChange={(v) => setState(v ?? '')} clearable w={140} />;
}

const tagsText = (tags?: Record<string, string>) =>
  Object.entries(tags ?? {})
    .map(([k, v]) => `${k}=${v}`)
    .join(' ');

export function Tags({ of }: { of?: Record<string, string> }) {
  return (
    <Group gap={4}>
      {Object.entries(of ?? {}).map(([k, v]) => (
        <Badge key={k} variant="default" className="badge" fw={400}>
          {k}
          {v && `: ${v}`}
        </Badge>
      ))}
    </Group>
  );
}

/** useLiveStates shows in the rows that are there who comes and goes; nothing is read anew for it. */
function useLiveStates(product: string) {
  const cache = useQueryClient();
  useStream(eventsPath({ product: product || undefined, types: ['presence'] }), (event) => {
    const change = presenceOf(event);
    if (!change) return;
    cache.setQueriesData<Paged<Device>>({ queryKey: [currentProject(), 'devices'] }, (page) => {
      if (!page?.items?.some((d) => d.deviceSN === change.deviceSN && d.productSN === change.productSN)) return page;
      return { ...page, items: page.items.map((d) => (d.deviceSN === change.deviceSN && d.productSN === change.productSN && d.state !== 'disabled' ? { ...d, ...change } : d)) };
    });
  });
}

function Bulk({ rows, clear }: { rows: Device[]; clear: () => void }) {
  const t = words.use();
  const path = (d: Device) => ({ params: { path: { productSN: d.productSN, deviceSN: d.deviceSN } } });
  return (
    <BulkButtons
      rows={rows}
      clear={clear}
      lists={['devices']}
      name={(d) => d.deviceSN}
      acts={[
        { label: t.enable, takes: (d) => d.state === 'disabled', act: (d) => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/enable', path(d))) },
        { label: t.disable, takes: (d) => d.state !== 'disabled', sure: t.bulkDisable, act: (d) => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/disable', path(d))) },
        { label: t.remove, sure: t.bulkRemove, act: (d) => take(api.DELETE('/v1/products/{productSN}/devices/{deviceSN}', path(d))) },
      ]}
    />
  );
}
