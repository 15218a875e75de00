import type { PageEntry } from '../registry';

export const page: PageEntry = {
  path: '/connectors',
  section: 'flow',
  order: 20,
  icon: 'connectors',
  title: { en: 'Connectors', zh: '连接器' },
  permission: 'rule.read',
  view: () => import('./Connectors'),
};
