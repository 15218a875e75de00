import { Tabs } from '@mantine/core';
import type { ComponentType } from 'react';
import { useLocation } from 'wouter';
import { useSession } from '../../app/session';
import { Page } from '../../kit/Page';
import { Audit } from './Audit';
import { Keys } from './Keys';
import { Members } from './Members';
import { ProjectSettings } from './Project';
import { Sessions } from './Sessions';
import { words } from './text';

type Tab = 'members' | 'keys' | 'project' | 'audit' | 'sessions';

/** The tabs, with what the reader needs to see one. */
const tabs: { id: Tab; permission?: string; View: ComponentType }[] = [
  { id: 'members', permission: 'user.read', View: Members },
  { id: 'keys', permission: 'key.read', View: Keys },
  { id: 'project', permission: 'project.read', View: ProjectSettings },
  { id: 'audit', permission: 'audit.read', View: Audit },
  { id: 'sessions', View: Sessions },
];

export default function Access() {
  const t = words.use();
  const { may } = useSession();
  const [at, go] = useLocation();
  const mine = tabs.filter((tab) => !tab.permission || may(tab.permission));
  const open = mine.find((tab) => at.startsWith(`/access/${tab.id}`)) ?? mine[0]!;
  return (
    <Page title={t.title}>
      <Tabs value={open.id} onChange={(id) => go(`/access/${id}`)} keepMounted={false}>
        <Tabs.List mb="md">
          {mine.map((tab) => (
            <Tabs.Tab key={tab.id} value={tab.id}>
              {t[tab.id]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value={open.id}>
          <open.View />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}
