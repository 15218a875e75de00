import { Tabs } from '@mantine/core';
import type { ComponentType } from 'react';
import { Route, Switch, useLocation } from 'wouter';
import { useSession } from '../../app/session';
import { Page } from '../../kit/Page';
import { Authorities } from './Authorities';
import Authority from './Authority';
import { Hub } from './Hub';
import { Nodes } from './Nodes';
import { words } from './text';

export default function System() {
  return (
    <Switch>
      <Route path="/system/cas/:id" component={Authority} />
      <Route component={Parts} />
    </Switch>
  );
}

/** The tabs, with what the reader needs to see one. */
const tabs: { id: 'hub' | 'nodes' | 'cas'; permission: string; View: ComponentType }[] = [
  { id: 'hub', permission: 'hub.read', View: Hub },
  { id: 'nodes', permission: 'hub.read', View: Nodes },
  { id: 'cas', permission: 'ca.read', View: Authorities },
];

function Parts() {
  const t = words.use();
  const { may } = useSession();
  const [at, go] = useLocation();
  const mine = tabs.filter((tab) => may(tab.permission));
  const open = mine.find((tab) => at.startsWith(`/system/${tab.id}`)) ?? mine[0]!;
  return (
    <Page title={t.title}>
      <Tabs value={open.id} onChange={(id) => go(id === 'hub' ? '/system' : `/system/${id}`)} keepMounted={false}>
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
