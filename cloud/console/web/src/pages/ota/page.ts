import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/ota',
  section: 'fleet',
  order: 40,
  icon: 'ota',
  title: { en: 'Firmware', zh: '固件' },
  permission: 'firmware.read',
  view: () => import('./Ota'),
};
