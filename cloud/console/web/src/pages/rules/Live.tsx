import { Group, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { useQueryClient } from '@tanstack/react-query';
import { api, currentProject, take, type Schemas } from '../../api/client';
import { Chart } from '../../kit/Chart';
import { useRead } from '../../kit/data';
import { numeral } from '../../kit/i18n';
import { useStream } from '../../kit/stream';
import { words } from './text';

const names = ['rule_matched', 'rule_delivered', 'rule_waiting', 'rule_dead', 'rule_dropped'] as const;
const span = 120;

/** Spark is what a rule does right now, second by second, as the hub tells it; the counters on the page follow when something happens. */
export function Spark({ rule }: { rule: string }) {
  const t = words.use();
  const cache = useQueryClient();
  const [points, setPoints] = useState<number[]>([]);
  useStream(`/v1/metrics/events?rule=${encodeURIComponent(rule)}`, (event) => {
    if (event.type !== 'metrics') return;
    const { values } = JSON.parse(event.data) as Schemas['MetricPoint'];
    setPoints((old) => [...old, values.rule_matched ?? 0].slice(-span));
    if (names.some((n) => n !== 'rule_waiting' && values[n])) void cache.invalidateQueries({ queryKey: [currentProject(), 'rule-stats', rule] });
  });
  const top = Math.max(1, ...points);
  const line = points.map((n, i) => `${i === 0 ? 'M' : 'L'}${((span - points.length + i) / (span - 1)) * 240} ${46 - (n / top) * 44}`).join('');
  const last = points.at(-1) ?? 0;
  return (
    <Group gap="sm" align="center">
      <svg width={240} height={48} viewBox="0 0 240 48" role="img" aria-label={t.perSecond(numeral(last))} data-spark={points.length}>
        <path d="M0 47H240" stroke="var(--mantine-color-default-border)" strokeWidth={1} />
        <path d={line} fill="none" stroke="var(--mantine-primary-color-filled)" strokeWidth={1.6} strokeLinejoin="round" />
      </svg>
      <Text size="sm">{t.perSecond(numeral(last))}</Text>
    </Group>
  );
}

/** Day is what a rule did in the last 24 hours. */
export function Day({ rule }: { rule: string }) {
  const t = words.use();
  const read = useRead(['rule-series', rule], (signal) => take(api.GET('/v1/metrics/series', { params: { query: { name: names.join(','), rule, step: '15m' } }, signal })));
  if (!read.data) return null;
  const labels: Record<string, string> = { rule_matched: t.matched, rule_delivered: t.delivered, rule_waiting: t.waiting, rule_dead: t.deadLetters, rule_dropped: t.dropped };
  const times = [...new Set(read.data.series.flatMap((s) => s.points.map((p) => new Date(p.time).getTime() / 1000)))].sort((a, b) => a - b);
  const series = read.data.series.map((s) => {
    const at = new Map(s.points.map((p) => [new Date(p.time).getTime() / 1000, p.value]));
    return { label: labels[s.name] ?? s.name, values: times.map((x) => at.get(x) ?? null) };
  });
  return (
    <Stack gap="xs">
      <Text size="sm" fw={500}>
        {t.over24h}
      </Text>
      {times.length < 2 ? <Text c="dimmed" size="sm">{t.noSeries}</Text> : <Chart label={t.over24h} times={times} series={series} height={200} />}
    </Stack>
  );
}
