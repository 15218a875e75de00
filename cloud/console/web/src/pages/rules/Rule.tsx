import { Button, Menu, Tabs } from '@mantine/core';
import { useState } from 'react';
import { useLocation, useParams } from 'wouter';
import { api, tagged, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct, useRead } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { Page, Ready } from '../../kit/Page';
import { words as kitWords } from '../../kit/text';
import { DeadLetters } from './DeadLetters';
import { Failures } from './Failures';
import { Metrics } from './Metrics';
import { RuleEditor } from './RuleEditor';
import { RuleState } from './RuleList';
import { words } from './text';

type Rule = Schemas['Rule'];

export default function OneRule() {
  const t = words.use();
  const { rule: id = '' } = useParams<{ rule: string }>();
  if (id === 'new') {
    return (
      <Page title={t.create} trail={[[t.title, '/rules']]}>
        <RuleEditor />
      </Page>
    );
  }
  return <Stored id={id} />;
}

function Stored({ id }: { id: string }) {
  const t = words.use();
  const read = useRead(['rule', id], (signal) => tagged(api.GET('/v1/rules/{ruleID}', { params: { path: { ruleID: id } }, signal })));
  const rule = read.data?.body;
  return (
    <Page title={rule?.name ?? id} trail={[[t.title, '/rules']]} badge={rule && <RuleState on={rule.enabled} />} actions={rule && <Actions rule={rule} />}>
      <Ready of={read}>{({ body, etag }) => <Detail rule={body} etag={etag} />}</Ready>
    </Page>
  );
}

function Detail({ rule, etag }: { rule: Rule; etag: string }) {
  const t = words.use();
  const { tab = 'editor' } = useParams<{ tab?: string }>();
  const [, go] = useLocation();
  return (
    <Tabs value={tab} onChange={(to) => go(to === 'editor' ? `/rules/${rule.id}` : `/rules/${rule.id}/${to}`)} keepMounted={false}>
      <Tabs.List mb="md">
        <Tabs.Tab value="editor">{t.editor}</Tabs.Tab>
        <Tabs.Tab value="metrics">{t.metrics}</Tabs.Tab>
        <Tabs.Tab value="failures">{t.failures}</Tabs.Tab>
        <Tabs.Tab value="dead-letters">{t.deadLetters}</Tabs.Tab>
      </Tabs.List>
      <Tabs.Panel value="editor">
        <RuleEditor key={rule.revision} rule={rule} etag={etag} />
      </Tabs.Panel>
      <Tabs.Panel value="metrics">
        <Metrics rule={rule} />
      </Tabs.Panel>
      <Tabs.Panel value="failures">
        <Failures rule={rule} />
      </Tabs.Panel>
      <Tabs.Panel value="dead-letters">
        <DeadLetters rule={rule} />
      </Tabs.Panel>
    </Tabs>
  );
}

function Actions({ rule }: { rule: Rule }) {
  const t = words.use();
  const kit = kitWords.use();
  const { may } = useSession();
  const [, go] = useLocation();
  const [asked, setAsked] = useState(false);
  const params = { path: { ruleID: rule.id } };
  const keys = [['rule', rule.id], ['rules'], ['rule-stats', rule.id]];
  const enable = useAct(() => take(api.POST('/v1/rules/{ruleID}/enable', { params })), { keys, done: t.enabledDone });
  const disable = useAct(() => take(api.POST('/v1/rules/{ruleID}/disable', { params })), { keys, done: t.disabledDone });
  const remove = useAct(() => take(api.DELETE('/v1/rules/{ruleID}', { params })), { keys: [['rules']], done: t.removed });
  if (!may('rule.write')) return null;
  const change = rule.enabled ? disable : enable;
  return (
    <>
      <Button variant="default" leftSection={<Icon name={rule.enabled ? 'pause' : 'play'} />} loading={change.isPending} onClick={() => change.mutate(undefined)}>
        {rule.enabled ? t.disable : t.enable}
      </Button>
      <Menu position="bottom-end">
        <Menu.Target>
          <Button variant="default" rightSection={<Icon name="down" size={14} />}>
            {kit.actions}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item color="red" onClick={() => setAsked(true)}>
            {t.remove}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <ConfirmDialog
        opened={asked}
        onClose={() => setAsked(false)}
        title={t.remove}
        action={t.remove}
        name={rule.name}
        busy={remove.isPending}
        onConfirm={() => remove.mutate(undefined, { onSuccess: () => go('/rules'), onError: () => setAsked(false) })}
      >
        {t.removeSure(rule.name)}
      </ConfirmDialog>
    </>
  );
}
