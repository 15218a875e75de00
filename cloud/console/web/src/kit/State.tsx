import { Badge } from '@mantine/core';
import { dictionary } from './i18n';
import { words } from './text';
import { Time } from './Time';

export const stateWords = dictionary({
  en: { inactive: 'inactive', online: 'online', offline: 'offline', disabled: 'disabled' },
  zh: { inactive: '未激活', online: '在线', offline: '离线', disabled: '已禁用' },
});

export type DeviceState = 'inactive' | 'online' | 'offline' | 'disabled';

export const deviceStates: DeviceState[] = ['online', 'offline', 'inactive', 'disabled'];

const colours: Record<DeviceState, string> = { online: 'green', offline: 'gray', inactive: 'blue', disabled: 'red' };

/** StateBadge is a device's state: in words, the colour only helps. */
export function StateBadge({ state }: { state: DeviceState }) {
  const t = stateWords.use();
  return (
    <Badge variant="light" color={colours[state]} className="badge" data-state={state}>
      {t[state]}
    </Badge>
  );
}

/** Seen is when a device was last there. The hub does not write down each message of one that is connected: it is there now. */
export function Seen({ device }: { device: { state: DeviceState; lastSeen?: string } }) {
  const t = words.use();
  return device.state === 'online' ? <span>{t.connected}</span> : <Time at={device.lastSeen} />;
}
