// Reading from the hub and changing things in it, from components.
import { useMutation, useQuery, useQueryClient, type UseQueryResult } from '@tanstack/react-query';
import { currentProject } from '../api/client';
import { toastDone, toastProblem } from './toast';

/** useRead reads something under a key; what is read is shared by all who use the same key in the same project. */
export function useRead<T>(key: unknown[], read: (signal: AbortSignal) => Promise<T>, enabled = true): UseQueryResult<T, Error> {
  return useQuery<T, Error>({ queryKey: [currentProject(), ...key], queryFn: ({ signal }) => read(signal), enabled });
}

/** useAct does something that changes the hub. Afterwards what was read under the keys is read anew; what did not work is told in a toast. */
export function useAct<A, R>(act: (args: A) => Promise<R>, options: { keys?: unknown[][]; done?: string | ((r: R) => string); quiet?: boolean } = {}) {
  const cache = useQueryClient();
  return useMutation<R, Error, A>({
    mutationFn: act,
    onSuccess: (r) => {
      for (const key of options.keys ?? []) void cache.invalidateQueries({ queryKey: [currentProject(), ...key] });
      const text = typeof options.done === 'function' ? options.done(r) : options.done;
      if (text) toastDone(text);
    },
    onError: options.quiet ? undefined : toastProblem,
  });
}
