import { Tabs } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Suspense } from 'react';
import { useLocation, useParams } from 'wouter';
import { api, currentProject, take, type Schemas } from '../../api/client';
import { useRead } from '../../kit/data';
import { Loading, Page, Ready } from '../../kit/Page';
import { StateBadge } from '../../kit/State';
import { eventsPath, useStream } from '../../kit/stream';
import { DeviceActions } from './DeviceActions';
import { pathOf } from './DeviceList';
import { presenceOf } from './presence';
import { tabs } from './tabs';
import { words } from './text';

export default function Device() {
  const t = words.use();
  const { product = '', device: raw = '' } = useParams<{ product: string; device: string }>();
  const device = decodeURIComponent(raw);
  const params = { path: { productSN: product, deviceSN: device } };
  const read = useRead(['device', product, device], (signal) => take(api.GET('/v1/products/{productSN}/devices/{deviceSN}', { params, signal })));
  useLiveState(product, device);
  return (
    <Page title={device} trail={[[t.title, '/devices']]} badge={read.data && <StateBadge state={read.data.state} />} actions={read.data && <DeviceActions device={read.data} />}>
      <Ready of={read}>{(d) => <Detail device={d} />}</Ready>
    </Page>
  );
}

/** useLiveState keeps the device's state as the hub tells it. */
function useLiveState(product: string, device: string) {
  const cache = useQueryClient();
  useStream(eventsPath({ product, device, types: ['presence'] }), (event) => {
    const change = presenceOf(event);
    if (!change) return;
    cache.setQueryData<Schemas['Device']>([currentProject(), 'device', product, device], (d) => (d && d.state !== 'disabled' ? { ...d, ...change } : d));
    void cache.invalidateQueries({ queryKey: [currentProject(), 'connections', product, device] });
  });
}

function Detail({ device }: { device: Schemas['Device'] }) {
  const t = words.use();
  const { tab: named } = useParams<{ tab?: string }>();
  const [, go] = useLocation();
  const open = tabs.find((tab) => tab.id === named) ?? tabs[0]!;
  return (
    <Tabs value={open.id} onChange={(id) => go(id === tabs[0]!.id ? pathOf(device) : `${pathOf(device)}/${id}`)} keepMounted={false}>
      <Tabs.List mb="md">
        {tabs.map((tab) => (
          <Tabs.Tab key={tab.id} value={tab.id}>
            {tab.title(t)}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {tabs.map((tab) => (
        <Tabs.Panel key={tab.id} value={tab.id}>
          <Suspense fallback={<Loading />}>
            <tab.view device={device} />
          </Suspense>
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}
