import { Group, Tabs, Text } from '@mantine/core';
import { lazy, Suspense, type ReactNode } from 'react';
import { useLocation, useParams, useSearch, Route } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useRead } from '../../kit/data';
import { Loading, Page, Ready } from '../../kit/Page';
import { useParam, useParamSet } from '../../kit/params';
import { DeviceChoice, ProductPick } from '../../kit/Pick';
import { modelOf } from '../../kit/schema';
import { StateBadge } from '../../kit/State';
import { eventsPath, useStream } from '../../kit/stream';
import { CallCommand } from './CallCommand';
import { Publish, Request } from './Publish';
import { SetProperties } from './SetProperties';
import { words } from './text';

const Virtual = lazy(() => import('./Virtual'));

/** Debug is the room where one device is spoken to, or played. Product and device are in the address. */
export default function Debug() {
  return <Route path="/debug/:tab?" component={Room} />;
}

function Room() {
  const t = words.use();
  const [product] = useParam('product');
  const [device] = useParam('device');
  return (
    <Page title={t.title}>
      <Chosen />
      {product && device ? <Tools key={`${product}/${device}`} product={product} device={device} /> : <Text c="dimmed">{t.choose}</Text>}
    </Page>
  );
}

function Chosen() {
  const [params, change] = useParamSet();
  const product = params.get('product') ?? '';
  const device = params.get('device') ?? '';
  return (
    <Group align="flex-end">
      <ProductPick required value={product} onChange={(v) => change({ product: v, device: '' })} w={240} />
      <DeviceChoice key={`${product}/${device}`} required product={product} value={device} onChange={(v) => change({ device: v })} w={240} />
    </Group>
  );
}

const tabs = ['properties', 'command', 'publish', 'request', 'virtual'] as const;

function Tools({ product, device }: { product: string; device: string }) {
  const t = words.use();
  const { tab = 'properties' } = useParams<{ tab?: string }>();
  const search = useSearch();
  const [, go] = useLocation();
  const params = { path: { productSN: product, deviceSN: device } };
  const read = useRead(['device', product, device], (signal) => take(api.GET('/v1/products/{productSN}/devices/{deviceSN}', { params, signal })));
  useStream(eventsPath({ product, device, types: ['presence'] }), () => void read.refetch());
  return (
    <Ready of={read}>
      {(d) => (
        <>
          <Group gap="xs">
            <Text fw={600} className="wrap">
              {d.deviceSN}
            </Text>
            <StateBadge state={d.state} />
          </Group>
          <Tabs value={tab} onChange={(to) => go(`/debug/${to}?${search}`)} keepMounted={false}>
            <Tabs.List mb="md">
              {tabs.map((id) => (
                <Tabs.Tab key={id} value={id}>
                  {t[id]}
                </Tabs.Tab>
              ))}
            </Tabs.List>
            <Tabs.Panel value="properties">
              <WithModel device={d} view={SetProperties} />
            </Tabs.Panel>
            <Tabs.Panel value="command">
              <WithModel device={d} view={CallCommand} />
            </Tabs.Panel>
            <Tabs.Panel value="publish">
              <Publish device={d} />
            </Tabs.Panel>
            <Tabs.Panel value="request">
              <Request device={d} />
            </Tabs.Panel>
            <Tabs.Panel value="virtual">
              <Suspense fallback={<Loading />}>
                <Virtual device={d} />
              </Suspense>
            </Tabs.Panel>
          </Tabs>
        </>
      )}
    </Ready>
  );
}

/** WithModel gives a tool the thing model of the device's product. */
function WithModel({ device, view: View }: { device: Schemas['Device']; view: (props: { device: Schemas['Device']; model: ReturnType<typeof modelOf> }) => ReactNode }) {
  const read = useRead(['thing-model', device.productSN], (signal) => take(api.GET('/v1/products/{productSN}/thing-model', { params: { path: { productSN: device.productSN } }, signal })));
  return <Ready of={read}>{(raw) => <View device={device} model={modelOf(raw)} />}</Ready>;
}
