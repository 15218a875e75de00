import { useSyncExternalStore } from 'react';
import { tag, useLanguage } from './i18n';
import { words } from './text';

// One clock for all times on the page: it goes only while there are some.
const clock = { now: Date.now(), told: new Set<() => void>(), timer: 0 };

function subscribe(told: () => void) {
  clock.told.add(told);
  if (!clock.timer) {
    clock.now = Date.now();
    clock.timer = window.setInterval(() => {
      clock.now = Date.now();
      for (const t of clock.told) t();
    }, 10_000);
  }
  return () => {
    clock.told.delete(told);
    if (clock.told.size === 0) {
      clearInterval(clock.timer);
      clock.timer = 0;
    }
  };
}

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
];

/** relative is a moment as seen from now: "3 minutes ago". */
export function relative(at: number, now: number, language = tag()): string {
  const seconds = Math.round((at - now) / 1000);
  const [unit, size] = steps.find(([, s]) => Math.abs(seconds) >= s) ?? ['second', 1];
  return new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'short' }).format(Math.trunc(seconds / size), unit);
}

/** absolute is a moment in full, by the reader's clock. */
export function absolute(at: number, language = tag()): string {
  return new Date(at).toLocaleString(language, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' });
}

/** Time is a moment: how long ago, and in full when pointed at. exact shows it in full. */
export function Time({ at, exact = false }: { at?: string | number | null; exact?: boolean }) {
  const t = words.use();
  useLanguage();
  const now = useSyncExternalStore(subscribe, () => clock.now);
  const ms = at === undefined || at === null || at === '' ? NaN : new Date(at).getTime();
  if (Number.isNaN(ms)) return <span className="dim">{t.never}</span>;
  const full = absolute(ms);
  return (
    <time dateTime={new Date(ms).toISOString()} title={full}>
      {exact ? full : relative(ms, Math.max(now, ms > now && ms - now < 10_000 ? ms : now))}
    </time>
  );
}
