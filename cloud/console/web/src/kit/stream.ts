import { useEffect, useRef, useState } from 'react';
import { follow, type StreamEvent, type StreamState } from '../api/stream';

export type { StreamEvent, StreamState };

/** useStream follows a stream of the hub while the component is there and path is not null. on may change without a new connection. */
export function useStream(path: string | null, on: (event: StreamEvent) => void): StreamState {
  const [state, setState] = useState<StreamState>('connecting');
  const handler = useRef(on);
  handler.current = on;
  useEffect(() => {
    if (path === null) return;
    const end = new AbortController();
    void follow(path, { onEvent: (event) => handler.current(event), onState: setState }, end.signal);
    return () => end.abort();
  }, [path]);
  return state;
}

/** eventsPath is the stream of what goes on, narrowed. */
export function eventsPath(narrow: { product?: string; device?: string; types?: string[] }): string {
  const q = new URLSearchParams();
  if (narrow.product) q.set('product', narrow.product);
  if (narrow.device) q.set('device', narrow.device);
  if (narrow.types) q.set('type', narrow.types.join(','));
  return `/v1/events?${q}`;
}
