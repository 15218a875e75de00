import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/alarms',
  section: 'watch',
  order: 10,
  icon: 'alarms',
  title: { en: 'Alarms', zh: '告警' },
  permission: 'alarm.read',
  view: () => import('./Alarms'),
};
