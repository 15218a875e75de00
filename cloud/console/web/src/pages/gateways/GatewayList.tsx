import { Anchor, Group, List, Select, Stack, Text, UnstyledButton } from '@mantine/core';
import { Link } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useRead } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { ListPage, type Column } from '../../kit/ListPage';
import { Page, Ready } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { productName, useProducts } from '../../kit/products';
import { useRefresh } from '../../kit/refresh';
import { Seen, deviceStates, StateBadge, stateWords } from '../../kit/State';
import { eventsPath } from '../../kit/stream';
import { Requests } from './Requests';
import { words } from './text';

type Device = Schemas['Device'];

export const gatewayPath = (d: { productSN: string; deviceSN: string }) => `/gateways/${d.productSN}/${encodeURIComponent(d.deviceSN)}`;

const devicePath = (d: { productSN: string; deviceSN: string }) => `/devices/${d.productSN}/${encodeURIComponent(d.deviceSN)}`;

/** filterOf takes the gateways of some products, or of the one that is chosen. A filter has room for so many products only. */
function filterOf(products: string[], chosen: string, state: string, q: string): string {
  const of = (chosen ? [chosen] : products.slice(0, 50)).map((p) => `product:${p}`).join(' OR ');
  return [`(${of})`, state && `state:${state}`, q && `(${q})`].filter(Boolean).join(' ');
}

export function GatewayList() {
  const t = words.use();
  const names = stateWords.use();
  const products = useProducts();
  const kinds = products.filter((p) => p.kind === 'gateway');
  const [product, setProduct] = useParam('product');
  const [state, setState] = useParam('state');
  useRefresh(eventsPath({ types: ['presence'] }), [['gateways'], ['branch']], 2000);
  const columns: Column<Device>[] = [
    { id: 'sn', title: t.gateway, sort: 'sn', cell: (d) => d.deviceSN, csv: (d) => d.deviceSN },
    { id: 'name', title: t.name, sort: 'name', cell: (d) => d.name, csv: (d) => d.name },
    { id: 'product', title: t.product, cell: (d) => productName(products, d.productSN), csv: (d) => d.productSN },
    { id: 'state', title: t.state, cell: (d) => <StateBadge state={d.state} />, csv: (d) => d.state },
    { id: 'subdevices', title: t.subdevices, cell: (d) => <Branch gateway={d} /> },
    { id: 'seen', title: t.lastSeen, sort: 'lastSeen', cell: (d) => <Seen device={d} />, csv: (d) => d.lastSeen },
  ];
  return (
    <Page title={t.title}>
      <Requests />
      {kinds.length === 0 ? (
        <Text c="dimmed">{t.noProducts}</Text>
      ) : (
        <ListPage<Device>
          name="gateways"
          about={[product, state, kinds.map((p) => p.productSN)]}
          columns={columns}
          rowKey={(d) => `${d.productSN}/${d.deviceSN}`}
          rowLink={gatewayPath}
          filter={{ placeholder: t.filterExample }}
          empty={t.none}
          facets={
            <>
              <Select label={t.product} placeholder={t.allStates} clearable searchable w={190} data={kinds.map((p) => ({ value: p.productSN, label: p.name || p.productSN }))} value={product || null} onChange={(v) => setProduct(v ?? '')} />
              <Select label={t.state} placeholder={t.allStates} clearable w={140} data={deviceStates.map((s) => ({ value: s, label: names[s] }))} value={state || null} onChange={(v) => setState(v ?? '')} />
            </>
          }
          load={({ filter, sort, cursor, limit, signal }) =>
            take(api.GET('/v1/devices', { params: { query: { filter: filterOf(kinds.map((p) => p.productSN), product, state, filter), sort: sort || undefined, cursor: cursor || undefined, limit } }, signal }))
          }
        />
      )}
    </Page>
  );
}

/** Branch is the sub-devices of a gateway, read when it is opened. Which are open is in the address. */
function Branch({ gateway }: { gateway: Device }) {
  const t = words.use();
  const [all, setAll] = useParam('open');
  const opened = all.split(' ').filter(Boolean);
  const own = `${gateway.productSN}/${gateway.deviceSN}`;
  const open = opened.includes(own);
  const toggle = () => setAll((open ? opened.filter((o) => o !== own) : [...opened, own]).join(' '), 'replace');
  return (
    <Stack gap={4}>
      <UnstyledButton aria-expanded={open} aria-label={t.show(gateway.deviceSN)} onClick={toggle}>
        <Icon name={open ? 'down' : 'right'} size={16} />
      </UnstyledButton>
      {open && <Leaves gateway={gateway} />}
    </Stack>
  );
}

function Leaves({ gateway }: { gateway: Device }) {
  const t = words.use();
  const path = { productSN: gateway.productSN, deviceSN: gateway.deviceSN };
  const read = useRead(['branch', gateway.productSN, gateway.deviceSN], (signal) => take(api.GET('/v1/products/{productSN}/devices/{deviceSN}/subdevices', { params: { path, query: { limit: 50 } }, signal })));
  return (
    <Ready of={read}>
      {({ items, nextCursor }) =>
        items.length === 0 ? (
          <Text size="sm" c="dimmed">
            {t.noSubdevices}
          </Text>
        ) : (
          <List listStyleType="none" size="sm" aria-label={t.subdevices}>
            {items.map((s) => (
              <List.Item key={`${s.productSN}/${s.deviceSN}`}>
                <Group gap="xs" wrap="nowrap">
                  <Link href={devicePath(s)} className="row-link">
                    {s.deviceSN}
                  </Link>
                  <StateBadge state={s.state} />
                </Group>
              </List.Item>
            ))}
            {nextCursor && (
              <List.Item>
                <Anchor component={Link} size="sm" href={gatewayPath(gateway)}>
                  {t.more}
                </Anchor>
              </List.Item>
            )}
          </List>
        )
      }
    </Ready>
  );
}
