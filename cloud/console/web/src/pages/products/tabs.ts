import { lazy, type ComponentType } from 'react';
import type { Schemas } from '../../api/client';
import { Info } from './Info';
import type { words } from './text';

export interface Tab {
  id: string;
  title: (t: ReturnType<typeof words.now>) => string;
  view: ComponentType<{ product: Schemas['Product'] }>;
}

/** The tabs of a product, the first is the one that opens. */
export const tabs: Tab[] = [
  { id: 'info', title: (t) => t.info, view: Info },
  { id: 'model', title: (t) => t.model, view: lazy(() => import('./Model')) },
  { id: 'topics', title: (t) => t.topics, view: lazy(() => import('./Topics')) },
  { id: 'script', title: (t) => t.script, view: lazy(() => import('./Script')) },
  { id: 'limits', title: (t) => t.limits, view: lazy(() => import('./Limits')) },
];
