import { Badge, Button, Tabs, Text } from '@mantine/core';
import { Link, useLocation } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { BulkButtons } from '../../kit/BulkButtons';
import { useRead } from '../../kit/data';
import { numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { Page } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { DeadLetters } from './DeadLetters';
import { sumOf } from './stats';
import { words } from './text';

type Rule = Schemas['Rule'];

export function RuleList() {
  const t = words.use();
  const { may } = useSession();
  const [at, go] = useLocation();
  const tab = at.startsWith('/rules/dead-letters') ? 'dead' : 'rules';
  return (
    <Page
      title={t.title}
      actions={
        may('rule.write') && (
          <Button component={Link} href="/rules/new" leftSection={<Icon name="plus" />}>
            {t.create}
          </Button>
        )
      }
    >
      <Tabs value={tab} onChange={(id) => go(id === 'dead' ? '/rules/dead-letters' : '/rules')} keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="rules">{t.title}</Tabs.Tab>
          <Tabs.Tab value="dead">{t.deadLetters}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="rules">
          <Table />
        </Tabs.Panel>
        <Tabs.Panel value="dead">
          <DeadLetters />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}

function Table() {
  const t = words.use();
  const { may } = useSession();
  const columns: Column<Rule>[] = [
    { id: 'name', title: t.name, sort: 'name', cell: (r) => r.name, csv: (r) => r.name },
    { id: 'state', title: t.state, sort: 'state', cell: (r) => <RuleState on={r.enabled} />, csv: (r) => r.enabled },
    { id: 'matched', title: t.matched, cell: (r) => <Counter rule={r.id} which="matched" /> },
    { id: 'delivered', title: t.delivered, cell: (r) => <Counter rule={r.id} which="delivered" /> },
    { id: 'waiting', title: t.waiting, cell: (r) => <Counter rule={r.id} which="waiting" /> },
    { id: 'dead', title: t.deadLetters, cell: (r) => <Counter rule={r.id} which="letters" /> },
    { id: 'failed', title: t.failed, hidden: true, cell: (r) => <Counter rule={r.id} which="failed" /> },
    { id: 'actions', title: t.actions, cell: (r) => r.actions.map((a) => a.kind).join(', '), csv: (r) => r.actions.map((a) => a.kind).join(' ') },
    {
      id: 'sql',
      title: t.sql,
      hidden: true,
      csv: (r) => r.sql,
      cell: (r) => (
        <Text span size="xs" ff="monospace" lineClamp={2}>
          {r.sql}
        </Text>
      ),
    },
    { id: 'description', title: t.description, hidden: true, cell: (r) => r.description, csv: (r) => r.description },
    { id: 'created', title: t.created, sort: 'created', hidden: true, cell: (r) => <Time at={r.createdAt} />, csv: (r) => r.createdAt },
    { id: 'updated', title: t.updated, sort: 'updated', cell: (r) => <Time at={r.updatedAt} />, csv: (r) => r.updatedAt },
  ];
  return (
    <ListPage<Rule>
      name="rules"
      columns={columns}
      rowKey={(r) => r.id}
      rowLink={(r) => `/rules/${r.id}`}
      empty={t.none}
      filter={{ placeholder: 'state:enabled action:kafka updated>-7d' }}
      load={(q) => take(api.GET('/v1/rules', { params: { query: asked(q) }, signal: q.signal }))}
      bulk={may('rule.write') ? (rows, clear) => <Bulk rows={rows} clear={clear} /> : undefined}
    />
  );
}

export function RuleState({ on }: { on: boolean }) {
  const t = words.use();
  return (
    <Badge variant="light" color={on ? 'green' : 'gray'} className="badge" data-rule-state={on ? 'on' : 'off'}>
      {on ? t.on : t.off}
    </Badge>
  );
}

/** Counter is a number of a rule's statistics; those of one rule are read once for all of its cells. */
function Counter({ rule, which }: { rule: string; which: 'matched' | 'delivered' | 'waiting' | 'letters' | 'failed' }) {
  const read = useRead(['rule-stats', rule], (signal) => take(api.GET('/v1/rules/{ruleID}/stats', { params: { path: { ruleID: rule } }, signal })));
  if (!read.data) return <span className="dim">{'…'}</span>;
  const n = sumOf(read.data)[which];
  return <Text span size="sm" c={(which === 'letters' || which === 'failed') && n > 0 ? 'var(--mantine-color-error)' : undefined}>{numeral(n)}</Text>;
}

function Bulk({ rows, clear }: { rows: Rule[]; clear: () => void }) {
  const t = words.use();
  const path = (r: Rule) => ({ params: { path: { ruleID: r.id } } });
  return (
    <BulkButtons
      rows={rows}
      clear={clear}
      lists={['rules']}
      name={(r) => r.name}
      acts={[
        { label: t.enable, takes: (r) => !r.enabled, act: (r) => take(api.POST('/v1/rules/{ruleID}/enable', path(r))) },
        { label: t.disable, takes: (r) => r.enabled, act: (r) => take(api.POST('/v1/rules/{ruleID}/disable', path(r))) },
        { label: t.remove, sure: t.removeMany, act: (r) => take(api.DELETE('/v1/rules/{ruleID}', path(r))) },
      ]}
    />
  );
}
