import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/files',
  section: 'watch',
  order: 30,
  icon: 'files',
  title: { en: 'Files', zh: '文件' },
  permission: 'device.read',
  view: () => import('./Files'),
};
