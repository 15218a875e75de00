import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';
import { currentProject } from '../api/client';
import { useStream, type StreamEvent, type StreamState } from './stream';

/**
 * useRefresh reads what is under the keys anew when something comes on a stream: at once, and then not more than once in pause ms. With about only for
 * what it takes.
 */
export function useRefresh(path: string | null, keys: unknown[][], pause = 800, about?: (event: StreamEvent) => boolean): StreamState {
  const cache = useQueryClient();
  const timer = useRef(0);
  const waiting = useRef(false);
  useEffect(() => () => clearTimeout(timer.current), []);
  const read = () => {
    waiting.current = false;
    for (const key of keys) void cache.invalidateQueries({ queryKey: [currentProject(), ...key] });
  };
  return useStream(path, (event) => {
    if (about && !about(event)) return;
    if (timer.current) {
      waiting.current = true;
      return;
    }
    read();
    const next = () => {
      timer.current = 0;
      if (!waiting.current) return;
      read();
      timer.current = window.setTimeout(next, pause);
    };
    timer.current = window.setTimeout(next, pause);
  });
}
