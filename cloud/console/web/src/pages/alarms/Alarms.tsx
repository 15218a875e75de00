import { Button, Tabs } from '@mantine/core';
import { lazy, type ComponentType } from 'react';
import { Link, Route, Switch, useLocation } from 'wouter';
import { useSession } from '../../app/session';
import { Icon } from '../../kit/icons';
import { Missing, Page } from '../../kit/Page';
import { AlarmList } from './AlarmList';
import { ChannelList } from './ChannelList';
import { RuleList } from './RuleList';
import { words } from './text';

const Alarm = lazy(() => import('./Alarm'));
const Rule = lazy(() => import('./Rule'));
const Channel = lazy(() => import('./Channel'));

export default function Alarms() {
  return (
    <Switch>
      <Route path="/alarms/rules/:id" component={Rule} />
      <Route path="/alarms/channels/:id" component={Channel} />
      <Route path="/alarms/:tab?" component={Lists} />
      <Route path="/alarms/one/:id" component={Alarm} />
      <Route component={Missing} />
    </Switch>
  );
}

const views: Record<string, ComponentType> = { alarms: AlarmList, rules: RuleList, channels: ChannelList };

/** Lists are the alarms, what makes them, and who is told. */
function Lists() {
  const t = words.use();
  const { may } = useSession();
  const [at, go] = useLocation();
  const tab = at.startsWith('/alarms/rules') ? 'rules' : at.startsWith('/alarms/channels') ? 'channels' : 'alarms';
  const View = views[tab]!;
  return (
    <Page
      title={t.title}
      actions={
        tab !== 'alarms' &&
        may('alarm.write') && (
          <Button component={Link} href={`/alarms/${tab}/new`} leftSection={<Icon name="plus" />}>
            {tab === 'rules' ? t.createRule : t.createChannel}
          </Button>
        )
      }
    >
      <Tabs value={tab} onChange={(id) => go(id === 'alarms' ? '/alarms' : `/alarms/${id}`)} keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="alarms">{t.title}</Tabs.Tab>
          <Tabs.Tab value="rules">{t.rules}</Tabs.Tab>
          <Tabs.Tab value="channels">{t.channels}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value={tab}>
          <View />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}
