import { lazy, type ComponentType } from 'react';
import type { Schemas } from '../../api/client';
import { Overview } from './Overview';
import type { words } from './text';

export interface Tab {
  id: string;
  title: (t: ReturnType<typeof words.now>) => string;
  view: ComponentType<{ device: Schemas['Device'] }>;
}

/** The tabs of a device, the first is the one that opens. */
export const tabs: Tab[] = [
  { id: 'overview', title: (t) => t.overview, view: Overview },
  { id: 'properties', title: (t) => t.properties, view: lazy(() => import('./Properties')) },
  { id: 'events', title: (t) => t.events, view: lazy(() => import('./Events')) },
  { id: 'commands', title: (t) => t.commands, view: lazy(() => import('./Commands')) },
  { id: 'shadow', title: (t) => t.shadow, view: lazy(() => import('./Shadow')) },
  { id: 'log', title: (t) => t.log, view: lazy(() => import('./Log')) },
  { id: 'files', title: (t) => t.files, view: lazy(() => import('./Files')) },
  { id: 'topology', title: (t) => t.topology, view: lazy(() => import('./Subdevices')) },
  { id: 'credentials', title: (t) => t.credentials, view: lazy(() => import('./Credentials')) },
  { id: 'connections', title: (t) => t.connections, view: lazy(() => import('./Connections')) },
];
