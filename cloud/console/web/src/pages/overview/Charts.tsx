import { Group, Paper, SegmentedControl, Select, SimpleGrid, Stack, TextInput, Title } from '@mantine/core';
import { useState } from 'react';
import { api, take } from '../../api/client';
import { Chart, type Series } from '../../kit/Chart';
import { useRead } from '../../kit/data';
import { Empty, Ready } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { useProducts } from '../../kit/products';
import { linesOf, shown, spans, windowOf, type Lines, type Span, type Window } from './metrics';
import { words } from './text';

/** Charts are what was counted over a span, of all products or one. */
export function Charts() {
  const t = words.use();
  const products = useProducts();
  const [product, setProduct] = useParam('product');
  const [span, setSpan] = useParam('span', 'hour');
  const [from, setFrom] = useParam('from');
  const [to, setTo] = useParam('to');
  const [now] = useState(() => new Date());
  const chosen = spans.includes(span as Span) ? (span as Span) : 'hour';
  const names: Record<Span, string> = { hour: t.hour, day: t.day, week: t.week, custom: t.custom };
  const window = windowOf(chosen, from, to, now);
  return (
    <Paper withBorder p="md">
      <Stack>
        <Group align="flex-end">
          <SegmentedControl aria-label={t.span} value={chosen} onChange={setSpan} data={spans.map((s) => ({ value: s, label: names[s] }))} />
          {chosen === 'custom' && (
            <>
              <TextInput type="datetime-local" label={t.from} value={from} onChange={(e) => setFrom(e.currentTarget.value, 'replace')} error={!window && from !== '' && t.badSpan} />
              <TextInput type="datetime-local" label={t.to} value={to} onChange={(e) => setTo(e.currentTarget.value, 'replace')} />
            </>
          )}
          <Select
            aria-label={t.product}
            searchable
            clearable
            placeholder={t.allProducts}
            value={product || null}
            onChange={(sn) => setProduct(sn ?? '')}
            data={products.map((p) => ({ value: p.productSN, label: p.name || p.productSN }))}
          />
        </Group>
        {window && <Plots window={window} product={product} live={chosen !== 'custom'} />}
      </Stack>
    </Paper>
  );
}

function Plots({ window, product, live }: { window: Window; product: string; live: boolean }) {
  const t = words.use();
  const { from, to } = window;
  const read = useRead(['overview', 'series', product, from.getTime(), live ? 0 : to.getTime()], (signal) => {
    const length = to.getTime() - from.getTime();
    const end = live ? new Date() : to; // what is read again ends then
    const query = { name: shown.join(','), product: product || undefined, from: new Date(end.getTime() - length).toISOString(), to: end.toISOString() };
    return take(api.GET('/v1/metrics/series', { params: { query }, signal }));
  });
  return (
    <Ready of={read}>
      {(series) => {
        const lines = linesOf(series, read.dataUpdatedAt);
        if (lines.times.length === 0) return <Empty>{t.noPoints}</Empty>;
        const kib = 1 / 1024;
        return (
          <SimpleGrid cols={{ base: 1, lg: 2 }}>
            <Plot title={t.chartDevices} lines={lines} series={[{ label: t.online, values: lines.of(['devices_online']) }]} />
            <Plot title={t.chartMessages} lines={lines} series={[{ label: t.lineUp, values: lines.of(['messages_up'], 1) }, { label: t.lineDown, values: lines.of(['messages_down'], 1) }]} />
            <Plot
              title={t.chartRules}
              lines={lines}
              series={[
                { label: t.lineMatched, values: lines.of(['rule_matched'], 1) },
                { label: t.lineDelivered, values: lines.of(['rule_delivered'], 1) },
                { label: t.lineLost, values: lines.of(['rule_dead', 'rule_dropped'], 1) },
              ]}
            />
            <Plot title={t.chartErrors} lines={lines} series={[{ label: t.lineUp, values: lines.of(['errors_up'], 60) }, { label: t.lineDown, values: lines.of(['errors_down'], 60) }]} />
            <Plot title={t.chartBytes} lines={lines} series={[{ label: t.lineUp, values: lines.of(['bytes_up'], kib) }, { label: t.lineDown, values: lines.of(['bytes_down'], kib) }]} />
          </SimpleGrid>
        );
      }}
    </Ready>
  );
}

function Plot({ title, lines, series }: { title: string; lines: Lines; series: Series[] }) {
  return (
    <div>
      <Title order={2} size="h5">
        {title}
      </Title>
      <Chart label={title} times={lines.times} series={series} height={180} />
    </div>
  );
}
