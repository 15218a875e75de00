import { Button, Group } from '@mantine/core';
import { Link } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { BulkButtons } from '../../kit/BulkButtons';
import { numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { useRefresh } from '../../kit/refresh';
import { eventsPath } from '../../kit/stream';
import { Time } from '../../kit/Time';
import { useWho } from '../../kit/who';
import { Bar, StatusBadge } from './Board';
import { countsOf, ended } from './states';
import { words } from './text';

type Item = Schemas['Campaign'];

export const campaignPath = (product: string, id: string) => `/ota/campaigns/${product}/${id}`;

export const campaignName = (c: Item) => c.name || `${c.module} ${c.version}`;

export function CampaignList({ product }: { product: string }) {
  const t = words.use();
  const { may } = useSession();
  const who = useWho();
  useRefresh(eventsPath({ product, types: ['campaign'] }), [['campaigns', product]]);
  const columns: Column<Item>[] = [
    { id: 'name', title: t.name, sort: 'name', cell: campaignName, csv: campaignName },
    { id: 'status', title: t.status, sort: 'status', cell: (c) => <StatusBadge status={c.status} />, csv: (c) => c.status },
    { id: 'version', title: t.version, sort: 'version', cell: (c) => c.version, csv: (c) => c.version },
    { id: 'module', title: t.module, sort: 'module', cell: (c) => c.module, csv: (c) => c.module },
    {
      id: 'progress',
      title: t.progress,
      csv: (c) => c.targets - countsOf(c).later,
      cell: (c) => (
        <Group gap="xs" wrap="nowrap" miw={180}>
          <Bar campaign={c} size="md" />
          <span className="nowrap">
            {numeral(countsOf(c).succeeded)} / {numeral(c.targets)}
          </span>
        </Group>
      ),
    },
    { id: 'failed', title: t.failed, cell: (c) => numeral(countsOf(c).bad), csv: (c) => countsOf(c).bad },
    { id: 'wave', title: t.waveTitle, cell: (c) => `${c.wave} / ${c.waves.length}`, csv: (c) => c.wave },
    { id: 'owner', title: t.owner, hidden: true, cell: (c) => who(c.owner), csv: (c) => c.owner },
    { id: 'created', title: t.created, sort: 'created', cell: (c) => <Time at={c.createdAt} />, csv: (c) => c.createdAt },
    { id: 'ended', title: t.endedAt, sort: 'ended', hidden: true, cell: (c) => (c.endedAt ? <Time at={c.endedAt} /> : ''), csv: (c) => c.endedAt },
  ];
  return (
    <ListPage<Item>
      name="campaigns"
      about={[product]}
      columns={columns}
      rowKey={(c) => c.campaignID}
      rowLink={(c) => campaignPath(product, c.campaignID)}
      empty={t.noCampaigns}
      filter={{ placeholder: 'status:running OR status:paused' }}
      load={(q) => take(api.GET('/v1/products/{productSN}/campaigns', { params: { path: { productSN: product }, query: asked(q) }, signal: q.signal }))}
      bulk={may('firmware.write', product) ? (rows, clear) => <Bulk rows={rows} clear={clear} product={product} /> : undefined}
    />
  );
}

function Bulk({ rows, clear, product }: { rows: Item[]; clear: () => void; product: string }) {
  const t = words.use();
  const path = (c: Item) => ({ params: { path: { productSN: product, campaignID: c.campaignID } } });
  const base = '/v1/products/{productSN}/campaigns/{campaignID}';
  return (
    <BulkButtons
      rows={rows}
      clear={clear}
      lists={['campaigns']}
      name={campaignName}
      acts={[
        { label: t.pause, takes: (c) => c.status === 'running', act: (c) => take(api.POST(`${base}/pause`, path(c))) },
        { label: t.resume, takes: (c) => c.status === 'paused', act: (c) => take(api.POST(`${base}/resume`, path(c))) },
        { label: t.abort, takes: (c) => !ended(c.status), sure: t.abortMany, act: (c) => take(api.POST(`${base}/abort`, path(c))) },
      ]}
    />
  );
}

export function CampaignButtons({ product }: { product: string }) {
  const t = words.use();
  const { may } = useSession();
  if (!may('firmware.write', product)) return null;
  return (
    <Button component={Link} href={`/ota/new?product=${product}`} leftSection={<Icon name="plus" />}>
      {t.bring}
    </Button>
  );
}
