import { Button, Stack, Tabs, Text, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { lazy, Suspense } from 'react';
import { Link, useLocation, useParams } from 'wouter';
import { api, currentProject, take, type Schemas } from '../../api/client';
import { hasCode } from '../../api/problem';
import { useRead } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { Loading, Page, Ready } from '../../kit/Page';
import { useRefresh } from '../../kit/refresh';
import { StateBadge } from '../../kit/State';
import { eventsPath, type StreamEvent } from '../../kit/stream';
import { presenceOf } from '../devices/presence';
import Subdevices from '../devices/Subdevices';
import { About } from './About';
import { words as configWords } from './configText';
import { words } from './text';

const Config = lazy(() => import('./Config').then((m) => ({ default: m.Config })));
const Diagnosis = lazy(() => import('./Diagnosis').then((m) => ({ default: m.Diagnosis })));

/** Gateway is a gateway with what its agent tells of itself, and what is behind it. */
export function Gateway() {
  const t = words.use();
  const names = configWords.use();
  const [, go] = useLocation();
  const { product = '', device: raw = '', tab = 'agent' } = useParams<{ product: string; device: string; tab?: string }>();
  const device = decodeURIComponent(raw);
  const path = { productSN: product, deviceSN: device };
  const read = useRead(['device', product, device], (signal) => take(api.GET('/v1/products/{productSN}/devices/{deviceSN}', { params: { path }, signal })));
  const agent = useRead(['agent', product, device], (signal) =>
    take(api.GET('/v1/products/{productSN}/devices/{deviceSN}/agent', { params: { path }, signal })).catch((err: unknown) => {
      if (hasCode(err, 'no_agent')) return null;
      throw err;
    }),
  );
  const near = useNear(product, device);
  useRefresh(
    eventsPath({ types: ['presence'] }),
    [
      ['device', product, device],
      ['agent', product, device],
      ['subdevices', product, device],
    ],
    800,
    near,
  );
  return (
    <Page
      title={device}
      trail={[[t.title, '/gateways']]}
      badge={read.data && <StateBadge state={read.data.state} />}
      actions={
        <>
          <Button variant="default" leftSection={<Icon name="refresh" />} loading={agent.isFetching} onClick={() => void agent.refetch()}>
            {t.refresh}
          </Button>
          <Button variant="default" component={Link} href={`/devices/${product}/${encodeURIComponent(device)}`}>
            {t.device}
          </Button>
        </>
      }
    >
      <Tabs value={tab} onChange={(to) => go(`/gateways/${product}/${raw}${to === 'agent' ? '' : `/${to}`}`)} keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="agent">{names.overview}</Tabs.Tab>
          <Tabs.Tab value="config">{names.config}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="agent">
          <Stack>
            <Ready of={agent}>
              {(a) =>
                a ? (
                  <>
                    <Suspense>
                      <Diagnosis product={product} device={device} />
                    </Suspense>
                    <About agent={a} />
                  </>
                ) : (
                  <Text c="dimmed">{t.noAgent}</Text>
                )
              }
            </Ready>
            <Title order={2} size="h4">
              {t.subdevices}
            </Title>
            <Ready of={read}>{(d) => <Subdevices device={d} />}</Ready>
          </Stack>
        </Tabs.Panel>
        <Tabs.Panel value="config">
          <Suspense fallback={<Loading />}>
            <Ready of={agent}>{(a) => <Config of={{ product, device }} state={a?.config} />}</Ready>
          </Suspense>
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}

/** useNear tells whether an event is of the gateway or of one that is shown behind it: others come and go all the time in a large fleet. */
function useNear(product: string, device: string) {
  const cache = useQueryClient();
  return (event: StreamEvent) => {
    const of = presenceOf(event);
    if (!of) return false;
    const is = (d: { productSN: string; deviceSN: string }) => d.productSN === of.productSN && d.deviceSN === of.deviceSN;
    if (is({ productSN: product, deviceSN: device })) return true;
    const pages = cache.getQueriesData<{ items: Schemas['Subdevice'][] }>({ queryKey: [currentProject(), 'subdevices', product, device] });
    return pages.some(([, page]) => page?.items.some(is));
  };
}
