import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/profile',
  section: 'own',
  order: 10,
  icon: 'user',
  title: { en: 'Your account', zh: '我的账户' },
  view: () => import('./Profile'),
};
