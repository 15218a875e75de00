import { Group, Progress, SegmentedControl, Stack, Table, Title } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { Chart } from '../../kit/Chart';
import { useRead } from '../../kit/data';
import { numeral } from '../../kit/i18n';
import { Empty, Ready } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { useRefresh } from '../../kit/refresh';
import { eventsPath } from '../../kit/stream';
import { linesOf } from './history';
import { words } from './text';

type Item = Schemas['FirmwareVersion'];

const spans = { day: 1, week: 7, month: 30 };
type Span = keyof typeof spans;

/** Versions is how many devices run what: now, and hour by hour. */
export default function Versions({ product }: { product: string }) {
  const t = words.use();
  const path = { productSN: product };
  const read = useRead(['versions', product], (signal) => take(api.GET('/v1/products/{productSN}/firmware-versions', { params: { path }, signal })));
  useRefresh(eventsPath({ product, types: ['ota'] }), [['versions', product]], 2000);
  return (
    <Ready of={read}>
      {({ items }) => {
        if (items.length === 0) return <Empty>{t.noVersions}</Empty>;
        const modules = [...new Set(items.map((v) => v.module))].sort();
        return (
          <Stack>
            {modules.map((m) => (
              <Now key={m} module={m} of={items.filter((v) => v.module === m)} />
            ))}
            <Past product={product} modules={modules} />
          </Stack>
        );
      }}
    </Ready>
  );
}

function Now({ module, of }: { module: string; of: Item[] }) {
  const t = words.use();
  const all = of.reduce((n, v) => n + v.devices, 0);
  return (
    <Table.ScrollContainer minWidth={400} type="native" tabIndex={0} role="region" aria-label={`${t.module} ${module}`}>
      <Table captionSide="top" data-list="versions">
        <Table.Caption ta="start">
          {t.module} {module}
        </Table.Caption>
        <Table.Thead>
          <Table.Tr>
            <Table.Th w="25%">{t.version}</Table.Th>
            <Table.Th w="15%">{t.devicesNow}</Table.Th>
            <Table.Th>{t.share}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {[...of]
            .sort((a, b) => b.devices - a.devices)
            .map((v) => (
              <Table.Tr key={v.version}>
                <Table.Td>{v.version}</Table.Td>
                <Table.Td>{numeral(v.devices)}</Table.Td>
                <Table.Td>
                  <Group wrap="nowrap" gap="xs">
                    <Progress value={(100 * v.devices) / Math.max(1, all)} className="grow" aria-label={v.version} />
                    <span className="nowrap">{numeral((100 * v.devices) / Math.max(1, all), 1)} %</span>
                  </Group>
                </Table.Td>
              </Table.Tr>
            ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function Past({ product, modules }: { product: string; modules: string[] }) {
  const t = words.use();
  const [span, setSpan] = useParam('span', 'day');
  const [named, setModule] = useParam('module');
  const [now] = useState(() => Date.now());
  const module = modules.includes(named) ? named : (modules[0] ?? 'default');
  const days = spans[span as Span] ?? 1;
  const read = useRead(['versions-past', product, module, days], (signal) =>
    take(api.GET('/v1/products/{productSN}/firmware-versions', { params: { path: { productSN: product }, query: { module, since: new Date(now - days * 86_400_000).toISOString() } }, signal })),
  );
  return (
    <Stack gap="xs">
      <Title order={2} size="h4">
        {t.chart}
      </Title>
      <Group>
        <SegmentedControl aria-label={t.span} value={span} onChange={setSpan} data={(Object.keys(spans) as Span[]).map((s) => ({ value: s, label: t[s] }))} />
        {modules.length > 1 && <SegmentedControl aria-label={t.module} value={module} onChange={setModule} data={modules} />}
      </Group>
      <Ready of={read}>
        {({ items }) => {
          const lines = linesOf(items);
          return lines.times.length === 0 ? <Empty>{t.noHours}</Empty> : <Chart label={t.chart} times={lines.times} series={lines.series} height={220} stepped />;
        }}
      </Ready>
    </Stack>
  );
}
