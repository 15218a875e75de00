import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/rules',
  section: 'flow',
  order: 10,
  icon: 'rules',
  title: { en: 'Rules', zh: '规则' },
  permission: 'rule.read',
  view: () => import('./Rules'),
};
