import { Select, TextInput } from '@mantine/core';
import { dictionary } from './i18n';
import { useParam } from './params';

const words = dictionary({
  en: { time: 'Time', any: 'Any time', m15: 'Last 15 minutes', h1: 'Last hour', h24: 'Last 24 hours', d7: 'Last 7 days', custom: 'From … to', from: 'From', to: 'To' },
  zh: { time: '时间', any: '任意时间', m15: '最近 15 分钟', h1: '最近 1 小时', h24: '最近 24 小时', d7: '最近 7 天', custom: '自定义', from: '从', to: '到' },
});

const spans: Record<string, number> = { '-15m': 15 * 60_000, '-1h': 3_600_000, '-24h': 86_400_000, '-7d': 7 * 86_400_000 };

/** sinceOf is the moment that the parameter since or until says: one before now, or a local time; undefined for none. */
export function sinceOf(value: string, now = Date.now()): string | undefined {
  const span = spans[value];
  const at = span !== undefined ? new Date(now - span) : new Date(value);
  return value === '' || Number.isNaN(at.getTime()) ? undefined : at.toISOString();
}

/** Since chooses a span of time; it keeps itself in the address as since and until. */
export function Since({ w = 170 }: { w?: number }) {
  const t = words.use();
  const [since, setSince] = useParam('since');
  const [until, setUntil] = useParam('until');
  const custom = until !== '' || (since !== '' && !(since in spans));
  const data = [
    { value: '-15m', label: t.m15 },
    { value: '-1h', label: t.h1 },
    { value: '-24h', label: t.h24 },
    { value: '-7d', label: t.d7 },
    { value: 'custom', label: t.custom },
  ];
  const choose = (v: string | null) => {
    if (v === 'custom') return setSince(local(Date.now() - 3_600_000));
    if (until) setUntil('');
    setSince(v ?? '');
  };
  return (
    <>
      <Select label={t.time} placeholder={t.any} data={data} value={custom ? 'custom' : since || null} onChange={choose} clearable w={w} />
      {custom && (
        <>
          <TextInput type="datetime-local" label={t.from} value={since} onChange={(e) => setSince(e.currentTarget.value, 'replace')} />
          <TextInput type="datetime-local" label={t.to} value={until} onChange={(e) => setUntil(e.currentTarget.value, 'replace')} />
        </>
      )}
    </>
  );
}

function local(at: number): string {
  return new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
