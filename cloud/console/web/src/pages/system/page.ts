import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/system',
  section: 'admin',
  order: 20,
  icon: 'system',
  title: { en: 'System', zh: '系统' },
  permission: 'hub.read',
  view: () => import('./System'),
};
