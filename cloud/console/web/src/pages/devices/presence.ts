import type { Schemas } from '../../api/client';
import type { StreamEvent } from '../../kit/stream';

/** presenceOf is what an event says of a device's coming or going; undefined when it is of something else. */
export function presenceOf(event: StreamEvent): Pick<Schemas['Device'], 'productSN' | 'deviceSN' | 'state' | 'lastSeen'> | undefined {
  if (event.type !== 'presence') return undefined;
  const e = JSON.parse(event.data) as Schemas['Event'];
  const status = (e.data as { Status?: string } | undefined)?.Status;
  if (!e.productSN || !e.deviceSN || (status !== 'Online' && status !== 'Offline')) return undefined;
  return { productSN: e.productSN, deviceSN: e.deviceSN, state: status === 'Online' ? 'online' : 'offline', lastSeen: e.time };
}
