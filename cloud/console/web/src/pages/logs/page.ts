import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/logs',
  section: 'watch',
  order: 20,
  icon: 'logs',
  title: { en: 'Message log', zh: '消息日志' },
  permission: 'device.read',
  view: () => import('./Logs'),
};
