// What a page shows is in its address: a link to it shows the same.
import { useCallback, useMemo } from 'react';
import { useSearchParams } from 'wouter';

/** useParam is one search parameter; '' is not in the address. Typing replaces the entry of the history, choosing adds one. */
export function useParam(name: string, absent = ''): [string, (value: string, how?: 'push' | 'replace') => void] {
  const [params, set] = useSearchParams();
  const value = params.get(name) ?? absent;
  const change = useCallback(
    (to: string, how: 'push' | 'replace' = 'push') =>
      set(
        (now) => {
          const next = new URLSearchParams(now);
          if (to === absent) next.delete(name);
          else next.set(name, to);
          return next;
        },
        { replace: how === 'replace' },
      ),
    [set, name, absent],
  );
  return [value, change];
}

/** useParams is several at once, so that one change makes one entry of the history. */
export function useParamSet(): [URLSearchParams, (changes: Record<string, string>) => void] {
  const [params, set] = useSearchParams();
  const change = useCallback(
    (changes: Record<string, string>) =>
      set((now) => {
        const next = new URLSearchParams(now);
        for (const [name, value] of Object.entries(changes)) {
          if (value === '') next.delete(name);
          else next.set(name, value);
        }
        return next;
      }),
    [set],
  );
  return useMemo(() => [params, change], [params, change]);
}
