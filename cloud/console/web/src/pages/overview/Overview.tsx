import { Anchor, Badge, Group, Paper, SimpleGrid, Stack, Table, Text, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { Link } from 'wouter';
import { api, currentProject, take, type Schemas } from '../../api/client';
import { useRead } from '../../kit/data';
import { bytes, numeral } from '../../kit/i18n';
import { Empty, Page, Ready } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { productName, useProducts } from '../../kit/products';
import { useStream } from '../../kit/stream';
import { Time } from '../../kit/Time';
import { statusWords } from '../ota/states';
import { Charts } from './Charts';
import { pace } from './metrics';
import { words } from './text';

type All = Schemas['Overview'];

export default function Overview() {
  const t = words.use();
  const [product] = useParam('product');
  const [recent, setRecent] = useState<Schemas['MetricPoint'][]>([]);
  const cache = useQueryClient();
  const asked = useRef(Date.now());
  const state = useStream(`/v1/metrics/events${product ? `?product=${encodeURIComponent(product)}` : ''}`, (e) => {
    if (e.type !== 'metrics') return;
    setRecent((old) => [...old, JSON.parse(e.data) as Schemas['MetricPoint']].slice(-6));
    // The stream is the clock for what is not in it: half a minute later the rest is read anew.
    if (Date.now() - asked.current < 30_000) return;
    asked.current = Date.now();
    void cache.invalidateQueries({ queryKey: [currentProject(), 'overview'] });
  });
  useEffect(() => setRecent([]), [product]);
  const read = useRead(['overview', 'now'], (signal) => take(api.GET('/v1/overview', { signal })));
  return (
    <Page title={t.title} badge={state === 'open' && <Badge variant="light" color="teal" className="badge">{t.live}</Badge>}>
      <Ready of={read}>
        {(all) => (
          <Stack>
            <Tiles all={all} recent={recent} product={product} />
            <Charts />
            <Campaigns of={all.campaigns} />
            <SimpleGrid cols={{ base: 1, lg: 2 }}>
              <Errors of={all.errors} />
              <Nodes of={all.nodes} />
            </SimpleGrid>
          </Stack>
        )}
      </Ready>
    </Page>
  );
}

/** Tiles are numbers at a glance: of now where the stream tells, else of the last minutes. */
function Tiles({ all, recent, product }: { all: All; recent: Schemas['MetricPoint'][]; product: string }) {
  const t = words.use();
  const last = recent[recent.length - 1]?.values;
  const rate = (name: string, read: number) => pace(recent, name) ?? (product ? undefined : read);
  const rules = all.rules;
  const lag = rules.waiting === 0 ? t.nothingWaits : rules.lagSeconds === undefined ? t.noLag : t.lag(numeral(rules.lagSeconds) + ' s');
  const settled = rules.delivered + rules.dead + rules.dropped;
  return (
    <SimpleGrid cols={{ base: 2, sm: 3, lg: 6 }}>
      <Tile name={t.online} value={number(last?.devices_online ?? all.devices.online)} more={t.registered(number(last?.devices_registered ?? all.devices.registered) ?? '')} to="/devices?state=online" />
      <Tile name={t.up} value={number(rate('messages_up', all.traffic.messagesUpPerSecond), 1)} more={t.perSecond} />
      <Tile name={t.down} value={number(rate('messages_down', all.traffic.messagesDownPerSecond), 1)} more={t.perSecond} />
      <Tile name={t.success} value={rules.success === undefined ? undefined : `${numeral(rules.success * 100, 2)} %`} more={t.settled(numeral(settled))} />
      <Tile name={t.waiting} value={number(rules.waiting)} more={lag} />
      <Tile name={t.alarms} value={number(all.alarms.open)} more={all.alarms.critical > 0 ? t.critical(numeral(all.alarms.critical)) : t.acknowledged(numeral(all.alarms.acknowledged))} bad={all.alarms.critical > 0} to="/alarms" />
    </SimpleGrid>
  );
}

const number = (n: number | undefined, digits = 0) => (n === undefined ? undefined : numeral(n, digits));

function Tile({ name, value = '–', more, to, bad }: { name: string; value?: string; more: string; to?: string; bad?: boolean }) {
  const figure = (
    <Text fz={26} fw={700} lh={1.3} span>
      {value}
    </Text>
  );
  return (
    <Paper withBorder p="md">
      <Text size="sm">{name}</Text>
      {to ? (
        <Anchor component={Link} href={to} aria-label={`${name}: ${value}`}>
          {figure}
        </Anchor>
      ) : (
        figure
      )}
      <Text size="sm" c={bad ? 'var(--mantine-color-error)' : 'dimmed'}>
        {more}
      </Text>
    </Paper>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Paper withBorder p="md">
      <Title order={2} size="h4" mb="sm">
        {title}
      </Title>
      {children}
    </Paper>
  );
}

function Campaigns({ of }: { of: All['campaigns'] }) {
  const t = words.use();
  const states = statusWords.use();
  const products = useProducts();
  if (of.length === 0) return null;
  return (
    <Part title={t.campaigns}>
      <Table.ScrollContainer minWidth={480} type="native" tabIndex={0} role="region" aria-label={t.campaigns}>
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t.campaign}</Table.Th>
                <Table.Th>{t.product}</Table.Th>
                <Table.Th>{t.status}</Table.Th>
                <Table.Th>{t.progress}</Table.Th>
                <Table.Th>{t.failed}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {of.map((c) => (
                <Table.Tr key={c.id}>
                  <Table.Td>
                    <Link className="row-link" href={`/ota/campaigns/${c.productSN}/${c.id}`}>
                      {c.name || c.id}
                    </Link>
                  </Table.Td>
                  <Table.Td>{productName(products, c.productSN)}</Table.Td>
                  <Table.Td>{states[c.status as keyof typeof states] ?? c.status}</Table.Td>
                  <Table.Td>
                    <Group gap="xs" wrap="nowrap">
                      <progress value={c.ended} max={Math.max(c.total, 1)} aria-label={c.name || c.id} />
                      {t.through(numeral(c.ended), numeral(c.total))}
                    </Group>
                  </Table.Td>
                  <Table.Td>{numeral(c.failed)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
      </Table.ScrollContainer>
    </Part>
  );
}

function Errors({ of }: { of: All['errors'] }) {
  const t = words.use();
  const products = useProducts();
  const where = (w: string) => ({ up: t.whereUp, down: t.whereDown, rule: t.whereRule })[w] ?? w;
  return (
    <Part title={t.errors}>
      {of.length === 0 ? (
        <Empty>{t.noErrors}</Empty>
      ) : (
        <Table.ScrollContainer minWidth={420} type="native" tabIndex={0} role="region" aria-label={t.errors}>
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t.where}</Table.Th>
                <Table.Th>{t.product}</Table.Th>
                <Table.Th>{t.what}</Table.Th>
                <Table.Th>{t.count}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {of.map((e) => (
                <Table.Tr key={`${e.where} ${e.productSN} ${e.what}`}>
                  <Table.Td>{where(e.where)}</Table.Td>
                  <Table.Td>{e.productSN && productName(products, e.productSN)}</Table.Td>
                  <Table.Td className="wrap">{e.what}</Table.Td>
                  <Table.Td>{numeral(e.count)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
    </Part>
  );
}

function Nodes({ of }: { of: All['nodes'] }) {
  const t = words.use();
  return (
    <Part title={t.nodes}>
      <Table.ScrollContainer minWidth={480} type="native" tabIndex={0} role="region" aria-label={t.nodes}>
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t.node}</Table.Th>
                <Table.Th>{t.status}</Table.Th>
                <Table.Th>{t.connections}</Table.Th>
                <Table.Th>{t.memory}</Table.Th>
                <Table.Th>{t.disk}</Table.Th>
                <Table.Th>{t.queue}</Table.Th>
                <Table.Th>{t.since}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {of.map((n) => (
                <Table.Tr key={n.name}>
                  <Table.Td>{`${n.name} ${n.version}`}</Table.Td>
                  <Table.Td>
                    <Badge variant="light" color={n.up ? 'green' : 'red'} className="badge">
                      {n.up ? t.nodeUp : t.nodeDown}
                    </Badge>
                  </Table.Td>
                  <Table.Td>{numeral(n.connections)}</Table.Td>
                  <Table.Td>{bytes(n.heapBytes)}</Table.Td>
                  <Table.Td>{n.diskFreeBytes !== undefined && bytes(n.diskFreeBytes)}</Table.Td>
                  <Table.Td>{numeral(n.storeQueue)}</Table.Td>
                  <Table.Td>
                    <Time at={n.startedAt} />
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
      </Table.ScrollContainer>
    </Part>
  );
}
