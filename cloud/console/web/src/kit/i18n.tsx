// Two languages, chosen by the reader and kept in the browser. A dictionary is written once for both; what is missing in one does not compile.
import { useSyncExternalStore } from 'react';

export type Language = 'en' | 'zh';
export const languages: Record<Language, string> = { en: 'English', zh: '中文' };

/** A short text in both languages, for registries. */
export type Both = Record<Language, string>;

type Entry = string | ((...args: never[]) => string);
type Same<T> = { [K in keyof T]: T[K] extends (...args: infer A) => string ? (...args: A) => string : string };

export interface Dictionary<T> {
  /** The texts in the reader's language, for components. */
  use(): Same<T>;
  /** The same for code that is no component. */
  now(): Same<T>;
  /** For tests. */
  all: Record<Language, Same<T>>;
}

/** dictionary makes the texts of a page or a part of the kit: en says which there are and what each takes, zh has the same. */
export function dictionary<T extends Record<string, Entry>>(both: { en: T; zh: NoInfer<Same<T>> }): Dictionary<T> {
  const all = both as unknown as Record<Language, Same<T>>;
  return {
    use: () => all[useLanguage()],
    now: () => all[language()],
    all,
  };
}

const key = 'hawser.language';
const listeners = new Set<() => void>();
let current: Language = first();

function first(): Language {
  const kept = globalThis.localStorage?.getItem(key);
  if (kept === 'en' || kept === 'zh') return kept;
  return globalThis.navigator?.language?.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

export function language(): Language {
  return current;
}

export function setLanguage(to: Language) {
  localStorage.setItem(key, to);
  show(to);
}

function show(to: Language) {
  current = to;
  document.documentElement.lang = tag(to);
  for (const told of listeners) told();
}

// What is chosen in one tab holds in the others.
globalThis.addEventListener?.('storage', (e) => {
  if (e.key === key && (e.newValue === 'en' || e.newValue === 'zh')) show(e.newValue);
});

/** tag is the language as the browser knows it. */
export function tag(l: Language = current): string {
  return l === 'zh' ? 'zh-CN' : 'en';
}

export function useLanguage(): Language {
  return useSyncExternalStore(
    (told) => {
      listeners.add(told);
      return () => void listeners.delete(told);
    },
    language,
    language,
  );
}

/** numeral writes a number as the reader does. */
export function numeral(n: number, digits = 0): string {
  return n.toLocaleString(tag(), { maximumFractionDigits: digits });
}

/** bytes writes a size. */
export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${numeral(n, i === 0 ? 0 : 1)} ${units[i]}`;
}
