// The states of campaigns and of devices in them: their words, their order, and the colour that helps to see them.
import type { Schemas } from '../../api/client';
import { dictionary } from '../../kit/i18n';

export type Status = Schemas['CampaignStatus'];
export type DeviceState = Schemas['DeploymentState'];

export const statusWords = dictionary({
  en: { preparing: 'preparing', awaiting_approval: 'waits for approval', running: 'running', paused: 'paused', aborted: 'aborted', done: 'done' },
  zh: { preparing: '准备中', awaiting_approval: '等待批准', running: '运行中', paused: '已暂停', aborted: '已中止', done: '已完成' },
});

export const statusColours: Record<Status, string> = { preparing: 'gray', awaiting_approval: 'yellow', running: 'blue', paused: 'yellow', aborted: 'red', done: 'green' };

export const deviceWords = dictionary({
  en: {
    queued: 'queued',
    offered: 'offered',
    accepted: 'accepted',
    downloading: 'downloading',
    burning: 'writing',
    staged: 'staged',
    armed: 'armed',
    rebooting: 'rebooting',
    trial: 'on trial',
    succeeded: 'succeeded',
    failed: 'failed',
    rejected: 'refused',
    rolled_back: 'went back',
    timed_out: 'timed out',
    cancelled: 'cancelled',
    superseded: 'superseded',
  },
  zh: {
    queued: '排队',
    offered: '已下发',
    accepted: '已接受',
    downloading: '下载中',
    burning: '写入中',
    staged: '已暂存',
    armed: '待重启',
    rebooting: '重启中',
    trial: '试运行',
    succeeded: '成功',
    failed: '失败',
    rejected: '已拒绝',
    rolled_back: '已回退',
    timed_out: '超时',
    cancelled: '已取消',
    superseded: '已被取代',
  },
});

/** Where a device stands: what is done, what is under way, what waits, and what ended without the version. */
export const stages = ['succeeded', 'busy', 'queued', 'bad', 'dropped', 'later'] as const;
export type Stage = (typeof stages)[number];

export const stageColours: Record<Stage, string> = { succeeded: 'green', busy: 'blue', queued: 'cyan', bad: 'red', dropped: 'gray', later: 'var(--mantine-color-default-border)' };

export const stageOf: Record<DeviceState, Stage> = {
  succeeded: 'succeeded',
  offered: 'busy',
  accepted: 'busy',
  downloading: 'busy',
  burning: 'busy',
  staged: 'busy',
  armed: 'busy',
  rebooting: 'busy',
  trial: 'busy',
  queued: 'queued',
  failed: 'bad',
  rejected: 'bad',
  rolled_back: 'bad',
  timed_out: 'bad',
  cancelled: 'dropped',
  superseded: 'dropped',
};

export const deviceStates = Object.keys(deviceWords.all.en) as DeviceState[];

export const colourOf = (state: DeviceState) => stageColours[stageOf[state]];

/** countsOf is how many devices stand where; together they are the targets. */
export function countsOf(c: Pick<Schemas['Campaign'], 'targets' | 'released' | 'devices'>): Record<Stage, number> {
  const n: Record<Stage, number> = { succeeded: 0, busy: 0, queued: 0, bad: 0, dropped: 0, later: Math.max(0, c.targets - c.released) };
  for (const [state, count] of Object.entries(c.devices)) n[stageOf[state as DeviceState] ?? 'busy'] += count;
  return n;
}

/** ended tells whether nothing more becomes of a campaign. */
export const ended = (s: Status) => s === 'aborted' || s === 'done';
