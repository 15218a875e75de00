import { useState } from 'react';
import { dictionary, numeral } from './i18n';
import { toastDone, toastProblem } from './toast';

const words = dictionary({
  en: { done: (n: string) => `${n} done`, failed: (n: string) => `${n} did not work` },
  zh: { done: (n: string) => `${n} 项已完成`, failed: (n: string) => `${n} 项未成功` },
});

/** useBulk does something with each of some rows, four at a time, and tells how many of them it did. */
export function useBulk<T>(after: () => void) {
  const [busy, setBusy] = useState(false);
  async function run(rows: T[], act: (row: T) => Promise<unknown>) {
    setBusy(true);
    const left = [...rows];
    let done = 0;
    let problem: unknown;
    let failed = 0;
    const worker = async () => {
      for (let row = left.shift(); row !== undefined; row = left.shift()) {
        try {
          await act(row);
          done++;
        } catch (err) {
          failed++;
          problem = err;
        }
      }
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    setBusy(false);
    const t = words.now();
    if (done > 0) toastDone(t.done(numeral(done)) + (failed > 0 ? ` · ${t.failed(numeral(failed))}` : ''));
    if (problem !== undefined) toastProblem(problem);
    after();
  }
  return { busy, start: (rows: T[], act: (row: T) => Promise<unknown>) => void run(rows, act) };
}
