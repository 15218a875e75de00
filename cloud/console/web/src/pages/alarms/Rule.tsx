import { Button, Stack } from '@mantine/core';
import { useState } from 'react';
import { Link, useLocation, useParams } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct, useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { Icon } from '../../kit/icons';
import { Page, Ready } from '../../kit/Page';
import { productName, useProducts } from '../../kit/products';
import { Time } from '../../kit/Time';
import { SeverityBadge } from './badges';
import { conditionText, debounceText } from './condition';
import { RuleForm } from './RuleForm';
import { OnBadge } from './RuleList';
import { words } from './text';

type Rule = Schemas['AlarmRule'];

export default function OneRule() {
  const t = words.use();
  const { id = '' } = useParams<{ id: string }>();
  const trail: [string, string][] = [
    [t.title, '/alarms'],
    [t.rules, '/alarms/rules'],
  ];
  if (id === 'new') {
    return (
      <Page title={t.createRule} trail={trail}>
        <RuleForm />
      </Page>
    );
  }
  return <Stored id={id} trail={trail} />;
}

function Stored({ id, trail }: { id: string; trail: [string, string][] }) {
  const t = words.use();
  const products = useProducts();
  const nameOf = (sn: string) => productName(products, sn);
  const { may } = useSession();
  const read = useRead(['alarm-rule', id], (signal) => take(api.GET('/v1/alarm-rules/{alarmRuleID}', { params: { path: { alarmRuleID: id } }, signal })));
  const r = read.data;
  return (
    <Page title={r?.name ?? id} trail={trail} badge={r && <OnBadge on={r.enabled} />} actions={r && <Actions rule={r} />}>
      <Ready of={read}>
        {(rule) => (
          <Stack gap="lg">
            <Facts
              of={[
                [t.severity, <SeverityBadge key="s" of={rule.severity} />],
                [t.condition, conditionText(rule.condition, nameOf)],
                [t.debounce, debounceText(rule.debounce)],
                [t.updated, <Time key="u" at={rule.updatedAt} />],
              ]}
            />
            {may('alarm.write') && <RuleForm key={rule.revision} rule={rule} />}
          </Stack>
        )}
      </Ready>
    </Page>
  );
}

function Actions({ rule }: { rule: Rule }) {
  const t = words.use();
  const { may } = useSession();
  const [, go] = useLocation();
  const [asked, setAsked] = useState(false);
  const remove = useAct(() => take(api.DELETE('/v1/alarm-rules/{alarmRuleID}', { params: { path: { alarmRuleID: rule.id } } })), { keys: [['alarm-rules'], ['alarms']], done: t.removed });
  return (
    <>
      <Button component={Link} href={`/alarms?show=all&rule=${rule.id}`} variant="default">
        {t.itsAlarms}
      </Button>
      {may('alarm.write') && (
        <Button variant="default" c="red" leftSection={<Icon name="trash" />} onClick={() => setAsked(true)}>
          {t.remove}
        </Button>
      )}
      <ConfirmDialog
        opened={asked}
        onClose={() => setAsked(false)}
        title={t.removeRules(1)}
        action={t.remove}
        name={rule.name}
        busy={remove.isPending}
        onConfirm={() => remove.mutate(undefined, { onSuccess: () => go('/alarms/rules'), onError: () => setAsked(false) })}
      >
        {t.removeRuleSure(rule.name)}
      </ConfirmDialog>
    </>
  );
}
