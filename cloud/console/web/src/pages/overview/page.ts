import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/overview',
  section: 'fleet',
  order: 0,
  icon: 'overview',
  title: { en: 'Overview', zh: '概览' },
  permission: 'hub.read',
  view: () => import('./Overview'),
};
