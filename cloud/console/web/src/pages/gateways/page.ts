import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/gateways',
  section: 'fleet',
  order: 35,
  icon: 'gateways',
  title: { en: 'Gateways', zh: '网关' },
  permission: 'device.read',
  view: () => import('./Gateways'),
};
