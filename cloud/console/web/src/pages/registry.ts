// The pages of the console. Each is a folder here with a page.ts, which is small and loaded at the start, and the page itself, which is loaded when
// it is opened. Nothing else names a page: adding one changes no file that others change.
import type { ComponentType } from 'react';
import type { IconName } from '../kit/icons';
import type { Both } from '../kit/i18n';

/** What is in the section 'own' is not in the navigation: the menu of the account leads to it. */
export type Section = 'fleet' | 'flow' | 'watch' | 'admin' | 'own';

export interface PageEntry {
  /** Below the project, like '/devices'; everything below it is the page's own. */
  path: string;
  section: Section;
  /** Where it stands in its section. */
  order: number;
  icon: IconName;
  title: Both;
  /** What the reader must have in the project to see it; absent for everybody. */
  permission?: string;
  view: () => Promise<{ default: ComponentType }>;
}

export const sections: Exclude<Section, 'own'>[] = ['fleet', 'flow', 'watch', 'admin'];

const found = import.meta.glob<{ page: PageEntry }>('./*/page.ts', { eager: true });

export const pages: PageEntry[] = Object.values(found)
  .map((m) => m.page)
  .sort((a, b) => placeOf(a) - placeOf(b) || a.order - b.order);

function placeOf(p: PageEntry) {
  const i = sections.findIndex((s) => s === p.section);
  return i < 0 ? sections.length : i;
}
