import { useRef, useState } from 'react';
import { csvLine, saveAs } from './csv';
import { numeral } from './i18n';
import type { Column, Paged, Query } from './ListPage';
import { words } from './text';
import { toastDone, toastProblem } from './toast';

const most = 200_000;

interface Export<T> {
  name: string;
  columns: Column<T>[];
  load: (q: Query) => Promise<Paged<T>>;
  filter: string;
  sort: string;
}

/** useExport reads all of a list, a page after the other, into a file; it can be stopped. */
export function useExport<T>({ name, columns, load, filter, sort }: Export<T>) {
  const [rows, setRows] = useState(-1);
  const end = useRef<AbortController>(null);

  async function collect(signal: AbortSignal): Promise<[lines: string[], count: number]> {
    const lines = ['\ufeff' + csvLine(columns.map((c) => c.title))];
    for (let cursor = '', count = 0; ; ) {
      const page = await load({ filter, sort, cursor, limit: 1000, signal });
      for (const item of page.items) lines.push(csvLine(columns.map((c) => c.csv!(item))));
      count += page.items.length;
      setRows(count);
      if (!page.nextCursor || count >= most) return [lines, count];
      cursor = page.nextCursor;
    }
  }

  async function start() {
    const t = words.now();
    end.current = new AbortController();
    setRows(0);
    try {
      const [lines, count] = await collect(end.current.signal);
      saveAs(`${name}.csv`, lines, 'text/csv;charset=utf-8');
      toastDone(count >= most ? t.exportCut(numeral(count)) : t.exported(numeral(count)));
    } catch (err) {
      if (!end.current.signal.aborted) toastProblem(err);
    } finally {
      setRows(-1);
    }
  }

  return { busy: rows >= 0, rows, start: () => void start(), stop: () => end.current?.abort() };
}
