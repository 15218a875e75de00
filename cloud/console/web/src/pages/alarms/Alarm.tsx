import { Button } from '@mantine/core';
import { Link, useParams } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { CopyText } from '../../kit/CopyText';
import { useAct, useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { numeral } from '../../kit/i18n';
import { Page, Ready } from '../../kit/Page';
import { useRefresh } from '../../kit/refresh';
import { Time } from '../../kit/Time';
import { Where } from './AlarmList';
import { AlarmStateBadge, SeverityBadge } from './badges';
import { words } from './text';
import { useWho } from '../../kit/who';

type Alarm = Schemas['Alarm'];

/** OneAlarm is an alarm with what became of it. */
export default function OneAlarm() {
  const t = words.use();
  const { id = '' } = useParams<{ id: string }>();
  useRefresh('/v1/alarms/events', [['alarm', id]]);
  const read = useRead(['alarm', id], (signal) => take(api.GET('/v1/alarms/{alarmID}', { params: { path: { alarmID: id } }, signal })));
  const a = read.data;
  const who = useWho();
  return (
    <Page title={a?.text ?? id} trail={[[t.title, '/alarms']]} badge={a && <AlarmStateBadge of={a.state} />} actions={a && <Actions of={a} />}>
      <Ready of={read}>
        {(alarm) => (
          <Facts
            of={[
              [t.number, <CopyText key="n" value={alarm.id} />],
              [t.severity, <SeverityBadge key="s" of={alarm.severity} />],
              [t.rule, <Link key="r" href={`/alarms/rules/${alarm.ruleID}`} className="row-link">{alarm.ruleName}</Link>],
              [t.where, alarm.productSN && <Where key="w" of={alarm} />],
              [t.value, alarm.value && <span className="json">{alarm.value}</span>],
              [t.seen, alarm.seen > 1 && numeral(alarm.seen)],
              [t.opened, <Time key="o" at={alarm.openedAt} exact />],
              [t.acknowledgedAt, alarm.acknowledgedAt && <Time key="a" at={alarm.acknowledgedAt} exact />],
              [t.acknowledgedBy, who(alarm.acknowledgedBy)],
              [t.clearedAt, alarm.clearedAt && <Time key="c" at={alarm.clearedAt} exact />],
              [t.clearedBy, alarm.clearedAt && (who(alarm.clearedBy) || t.byItself)],
            ]}
          />
        )}
      </Ready>
    </Page>
  );
}

function Actions({ of: a }: { of: Alarm }) {
  const t = words.use();
  const { may } = useSession();
  const path = { params: { path: { alarmID: a.id } } };
  const keys = [['alarms'], ['alarm', a.id]];
  const acknowledge = useAct(() => take(api.POST('/v1/alarms/{alarmID}/acknowledge', path)), { keys, done: t.acknowledgedDone });
  const clear = useAct(() => take(api.POST('/v1/alarms/{alarmID}/clear', path)), { keys, done: t.clearedDone });
  if (!may('alarm.handle', a.productSN) || a.state === 'cleared') return null;
  return (
    <>
      {a.state === 'open' && (
        <Button loading={acknowledge.isPending} onClick={() => acknowledge.mutate(undefined)}>
          {t.acknowledge}
        </Button>
      )}
      <Button variant="default" loading={clear.isPending} onClick={() => clear.mutate(undefined)}>
        {t.clearIt}
      </Button>
    </>
  );
}
