import { Badge } from '@mantine/core';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { BulkButtons } from '../../kit/BulkButtons';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { productName, useProducts } from '../../kit/products';
import { Time } from '../../kit/Time';
import { SeverityBadge } from './badges';
import { conditionText, debounceText } from './condition';
import { words } from './text';

type Rule = Schemas['AlarmRule'];

export function RuleList() {
  const t = words.use();
  const { may } = useSession();
  const products = useProducts();
  const nameOf = (sn: string) => productName(products, sn);
  const columns: Column<Rule>[] = [
    { id: 'name', title: t.name, sort: 'name', cell: (r) => r.name, csv: (r) => r.name },
    { id: 'severity', title: t.severity, cell: (r) => <SeverityBadge of={r.severity} />, csv: (r) => r.severity },
    { id: 'state', title: t.state, sort: 'state', cell: (r) => <OnBadge on={r.enabled} />, csv: (r) => r.enabled },
    { id: 'condition', title: t.condition, cell: (r) => <span className="wrap">{conditionText(r.condition, nameOf)}</span>, csv: (r) => conditionText(r.condition, nameOf) },
    { id: 'debounce', title: t.debounce, hidden: true, cell: (r) => debounceText(r.debounce), csv: (r) => debounceText(r.debounce) },
    { id: 'channels', title: t.channels, cell: (r) => r.channels.length, csv: (r) => r.channels.join(' ') },
    { id: 'description', title: t.description, hidden: true, cell: (r) => r.description, csv: (r) => r.description },
    { id: 'updated', title: t.updated, sort: 'updated', cell: (r) => <Time at={r.updatedAt} />, csv: (r) => r.updatedAt },
  ];
  return (
    <ListPage<Rule>
      name="alarm-rules"
      columns={columns}
      rowKey={(r) => r.id}
      rowLink={(r) => `/alarms/rules/${r.id}`}
      empty={t.noRules}
      filter={{ placeholder: 'state:enabled severity:critical kind:presence' }}
      load={(q) => take(api.GET('/v1/alarm-rules', { params: { query: asked(q) }, signal: q.signal }))}
      bulk={may('alarm.write') ? (rows, clear) => <Bulk rows={rows} clear={clear} /> : undefined}
    />
  );
}

export function OnBadge({ on }: { on: boolean }) {
  const t = words.use();
  return (
    <Badge variant="light" color={on ? 'green' : 'gray'} className="badge">
      {on ? t.on : t.off}
    </Badge>
  );
}

/** bodyOf is a rule as it is sent to change it. */
export function bodyOf(r: Rule): Schemas['NewAlarmRule'] {
  const { name, description, enabled, severity, condition, debounce, channels, tellCleared } = r;
  return { name, description, enabled, severity, condition, debounce, channels, tellCleared };
}

function Bulk({ rows, clear }: { rows: Rule[]; clear: () => void }) {
  const t = words.use();
  const path = (r: Rule) => ({ params: { path: { alarmRuleID: r.id } } });
  const turn = (enabled: boolean) => (r: Rule) => take(api.PUT('/v1/alarm-rules/{alarmRuleID}', { ...path(r), body: { ...bodyOf(r), enabled } }));
  return (
    <BulkButtons
      rows={rows}
      clear={clear}
      lists={['alarm-rules']}
      name={(r) => r.name}
      acts={[
        { label: t.enable, takes: (r) => !r.enabled, act: turn(true) },
        { label: t.disable, takes: (r) => r.enabled, act: turn(false) },
        { label: t.remove, sure: t.removeRules, act: (r) => take(api.DELETE('/v1/alarm-rules/{alarmRuleID}', path(r))) },
      ]}
    />
  );
}
