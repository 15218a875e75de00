import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/products',
  section: 'fleet',
  order: 20,
  icon: 'products',
  title: { en: 'Products', zh: '产品' },
  permission: 'product.read',
  view: () => import('./Products'),
};
