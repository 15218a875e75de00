import { Select } from '@mantine/core';
import { api, take, type Schemas } from '../../api/client';
import { bytes } from '../../kit/i18n';
import { ListPage, type Column } from '../../kit/ListPage';
import { useParam } from '../../kit/params';
import { words as kitWords } from '../../kit/text';
import { Time } from '../../kit/Time';
import { DeviceStateBadge } from './Board';
import { campaignPath } from './CampaignList';
import { deviceStates, deviceWords, type DeviceState } from './states';
import { className, classWords, words } from './text';

type Item = Schemas['CampaignDevice'];

export function CampaignDevices({ product, id }: { product: string; id: string }) {
  const t = words.use();
  const kit = kitWords.use();
  const names = deviceWords.use();
  const reasons = classWords.use();
  const [state, setState] = useParam('state');
  const columns: Column<Item>[] = [
    { id: 'sn', title: t.device, cell: (d) => d.deviceSN, csv: (d) => d.deviceSN },
    { id: 'state', title: t.state, cell: (d) => <DeviceStateBadge state={d.state} percent={d.percent} />, csv: (d) => d.state },
    { id: 'class', title: t.reason, cell: (d) => d.class && className(reasons, d.class) + (d.errCode ? ` (${d.errCode})` : ''), csv: (d) => d.class },
    { id: 'from', title: t.fromVersion, cell: (d) => d.fromVersion, csv: (d) => d.fromVersion },
    { id: 'wave', title: t.waveTitle, cell: (d) => d.wave, csv: (d) => d.wave },
    { id: 'attempts', title: t.attempts, cell: (d) => d.attempts, csv: (d) => d.attempts },
    { id: 'bytes', title: t.downloaded, hidden: true, cell: (d) => (d.bytes ? bytes(d.bytes) : ''), csv: (d) => d.bytes },
    { id: 'updated', title: t.updated, cell: (d) => <Time at={d.updatedAt} />, csv: (d) => d.updatedAt },
    { id: 'deadline', title: t.deadline, hidden: true, cell: (d) => (d.deadlineAt ? <Time at={d.deadlineAt} exact /> : ''), csv: (d) => d.deadlineAt },
  ];
  return (
    <ListPage<Item>
      name="campaign-devices"
      about={[product, id, state]}
      columns={columns}
      rowKey={(d) => d.deviceSN}
      rowLink={(d) => `${campaignPath(product, id)}/${encodeURIComponent(d.deviceSN)}`}
      empty={t.noDevices}
      facets={<Select label={t.state} placeholder={kit.any} clearable w={180} value={state || null} onChange={(v) => setState(v ?? '')} data={deviceStates.map((s) => ({ value: s, label: names[s] }))} />}
      load={({ cursor, limit, signal }) =>
        take(
          api.GET('/v1/products/{productSN}/campaigns/{campaignID}/devices', {
            params: { path: { productSN: product, campaignID: id }, query: { state: (state as DeviceState) || undefined, cursor: cursor || undefined, limit } },
            signal,
          }),
        )
      }
    />
  );
}
