import { dictionary } from '../../kit/i18n';

export const words = dictionary({
  en: {
    change: 'Change',
    title: (name: string) => `Change ${name}`,
    expires: 'It waits for devices until',
    saved: 'The campaign is changed',
    approved: (who: string) => `${who} has approved it: only somebody else than its author may change it.`,
  },
  zh: {
    change: '修改',
    title: (name: string) => `修改 ${name}`,
    expires: '等待设备直到',
    saved: '升级活动已修改',
    approved: (who: string) => `${who} 已批准此活动:只有其创建者以外的人可以修改。`,
  },
});
