import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/devices',
  section: 'fleet',
  order: 10,
  icon: 'devices',
  title: { en: 'Devices', zh: '设备' },
  permission: 'device.read',
  view: () => import('./Devices'),
};
