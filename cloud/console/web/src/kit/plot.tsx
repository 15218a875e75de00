import { useComputedColorScheme } from '@mantine/core';
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { ChartProps } from './Chart';
import { tag, useLanguage } from './i18n';
import { words } from './text';

const colours = ['#1098ad', '#e8590c', '#7048e8', '#2f9e44', '#c2255c', '#e67700'];

export default function Plot({ label, times, series, unit = '', height = 240, stepped = false }: ChartProps) {
  const t = words.use();
  const language = useLanguage();
  const place = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme('light');
  const plot = useRef<uPlot>(null);
  const shape = series.map((s) => s.label).join('\n');
  useEffect(() => {
    const el = place.current!;
    const ink = scheme === 'dark' ? '#c9c9c9' : '#495057';
    const grid = scheme === 'dark' ? '#ffffff18' : '#00000012';
    const axis: uPlot.Axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } };
    const u = new uPlot(
      {
        width: el.clientWidth || 600,
        height,
        padding: [12, 32, 0, 0],
        fmtDate: () => (d) => d.toLocaleString(tag(language), { hour: '2-digit', minute: '2-digit', second: '2-digit', day: 'numeric', month: 'short', hourCycle: 'h23' }),
        axes: [{ ...axis, space: 70, values: (_u, ticks) => ticks.map((s) => tick(s, ticks, language)) }, { ...axis, size: 64, values: (_u, ticks) => ticks.map((n) => (unit ? `${n} ${unit}` : String(n))) }],
        series: [
          {},
          ...shape.split('\n').map((name, i) => ({
            label: name,
            stroke: colours[i % colours.length],
            width: 1.8,
            spanGaps: true,
            paths: stepped ? uPlot.paths.stepped?.({ align: 1 }) : undefined,
          })),
        ],
        scales: { y: { range: (_u, low, high) => rangeOf(low, high) } },
        cursor: { drag: { x: true, y: false } },
        legend: { live: true },
      },
      [[], ...shape.split('\n').map(() => [])],
      el,
    );
    plot.current = u;
    const watch = new ResizeObserver(() => u.setSize({ width: el.clientWidth, height }));
    watch.observe(el);
    return () => {
      watch.disconnect();
      u.destroy();
    };
  }, [scheme, height, unit, stepped, shape, language]);
  useEffect(() => {
    plot.current?.setData([times, ...series.map((s) => s.values)] as uPlot.AlignedData);
  }, [times, series, scheme, height, unit, stepped, shape, language]);
  return <div ref={place} role="img" aria-label={`${t.chart(label)}: ${t.points(String(times.length))}`} />;
}

/** rangeOf is what the axis of values shows: also where there is none, and not 0 to 100 of nothing but 0. */
function rangeOf(low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null || (low === 0 && high === 0)) return [0, 1];
  return uPlot.rangeNum(low, high, 0.1, true);
}

/** tick writes a time as short as its neighbours allow. */
function tick(at: number, all: number[], language: 'en' | 'zh'): string {
  const span = (all[all.length - 1] ?? at) - (all[0] ?? at);
  const options: Intl.DateTimeFormatOptions = span > 2 * 86_400 ? { month: 'short', day: 'numeric' } : { hour: '2-digit', minute: '2-digit', ...(span < 600 && { second: '2-digit' }), hourCycle: 'h23' };
  return new Date(at * 1000).toLocaleString(tag(language), options);
}
