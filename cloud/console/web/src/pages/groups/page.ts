import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/groups',
  section: 'fleet',
  order: 30,
  icon: 'groups',
  title: { en: 'Groups', zh: '分组' },
  permission: 'group.read',
  view: () => import('./Groups'),
};
