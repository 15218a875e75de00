import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/access',
  section: 'admin',
  order: 10,
  icon: 'access',
  title: { en: 'Access', zh: '访问控制' },
  view: () => import('./Access'),
};
