import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/debug',
  section: 'watch',
  order: 40,
  icon: 'debug',
  title: { en: 'Debug', zh: '调试' },
  permission: 'device.control',
  view: () => import('./Debug'),
};
