import { Button, Group, Select, Text } from '@mantine/core';
import { useState, type ReactNode } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { BulkButtons } from '../../kit/BulkButtons';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct, useRead } from '../../kit/data';
import { numeral } from '../../kit/i18n';
import { ListPage, type Column } from '../../kit/ListPage';
import { useParam } from '../../kit/params';
import { DevicePick, ProductPick } from '../../kit/Pick';
import { Since, sinceOf } from '../../kit/Since';
import { Time } from '../../kit/Time';
import { words } from './text';

type Letter = Schemas['DeadLetter'];
type Filter = Schemas['DeadLetterFilter'];

/** DeadLetters is what actions have given up: of one rule, or of all. */
export function DeadLetters({ rule }: { rule?: Schemas['Rule'] }) {
  const t = words.use();
  const { may } = useSession();
  const { filter, key } = useFilter(rule);
  const columns: Column<Letter>[] = [
    { id: 'when', title: t.givenUp, cell: (l) => <Time at={l.failedAt} exact />, csv: (l) => l.failedAt },
    ...(rule ? [] : [{ id: 'rule', title: t.rule, cell: (l: Letter) => l.ruleName, csv: (l: Letter) => l.ruleName }]),
    { id: 'action', title: t.action, cell: (l) => l.actionKind, csv: (l) => l.actionKind },
    { id: 'device', title: t.device, cell: (l) => l.deviceSN, csv: (l) => l.deviceSN },
    { id: 'product', title: t.product, hidden: true, cell: (l) => l.productSN, csv: (l) => l.productSN },
    { id: 'topic', title: t.topic, hidden: true, cell: (l) => l.topic, csv: (l) => l.topic },
    {
      id: 'why',
      title: t.why,
      csv: (l) => l.failures.at(-1)?.error,
      cell: (l) => (
        <Text span size="sm" lineClamp={2} className="wrap">
          {l.failures.at(-1)?.error}
        </Text>
      ),
    },
    { id: 'attempts', title: t.attempts, cell: (l) => numeral(l.attempts), csv: (l) => l.attempts },
    { id: 'message', title: t.message, hidden: true, cell: (l) => l.traceId, csv: (l) => l.traceId },
  ];
  return (
    <ListPage<Letter>
      name="dead-letters"
      about={key}
      columns={columns}
      rowKey={(l) => l.id}
      rowLink={(l) => `/rules/dead-letters/${l.id}`}
      empty={t.noLetters}
      load={({ cursor, limit, signal }) => take(api.GET('/v1/dead-letters', { params: { query: { ...filter(), cursor: cursor || undefined, limit } }, signal }))}
      facets={<Facets rule={rule} whole={may('rule.write') ? <Whole filter={filter()} /> : undefined} />}
      bulk={may('rule.write') ? (rows, clear) => <Bulk rows={rows} clear={clear} /> : undefined}
    />
  );
}

/** useFilter is what the facets choose. */
function useFilter(rule?: Schemas['Rule']) {
  const [ruleID] = useParam('rule');
  const [action] = useParam('action');
  const [product] = useParam('product');
  const [device] = useParam('device');
  const [since] = useParam('since');
  const [until] = useParam('until');
  const filter = (): Filter => ({
    ruleID: rule?.id ?? (ruleID || undefined),
    actionID: action || undefined,
    productSN: product || undefined,
    deviceSN: product && device ? device : undefined,
    since: sinceOf(since),
    until: sinceOf(until),
  });
  return { filter, key: [rule?.id ?? ruleID, action, product, device, since, until] };
}

function Facets({ rule, whole }: { rule?: Schemas['Rule']; whole?: ReactNode }) {
  const t = words.use();
  const [ruleID, setRule] = useParam('rule');
  const [action, setAction] = useParam('action');
  const [product, setProduct] = useParam('product');
  const [device, setDevice] = useParam('device');
  const rules = useRead(['rules', 'all'], (signal) => take(api.GET('/v1/rules', { params: { query: { limit: 1000 } }, signal })));
  const all = rules.data?.items ?? [];
  const of = rule ?? all.find((r) => r.id === ruleID);
  return (
    <>
      {!rule && <Select label={t.rule} placeholder={t.any} data={all.map((r) => ({ value: r.id, label: r.name }))} value={ruleID || null} onChange={(v) => setRule(v ?? '')} clearable searchable w={170} />}
      {of && of.actions.length > 1 && <Select label={t.action} placeholder={t.any} data={of.actions.map((a, i) => ({ value: a.id ?? '', label: `${i + 1}. ${a.kind}` }))} value={action || null} onChange={(v) => setAction(v ?? '')} clearable w={150} />}
      <ProductPick value={product} onChange={setProduct} w={150} />
      <DevicePick product={product} value={device} onChange={(v) => setDevice(v, 'replace')} w={150} />
      <Since w={150} />
      {whole}
    </>
  );
}

/** Whole is what can be done with all letters that the facets take. */
function Whole({ filter }: { filter: Filter }) {
  const t = words.use();
  const [asked, setAsked] = useState<'replay' | 'purge' | null>(null);
  const keys = [['dead-letters'], ['rule-stats']];
  const replay = useAct(() => take(api.POST('/v1/dead-letters:replay', { body: filter })), { keys, done: (job) => t.replayJob(job.id) });
  const purge = useAct(() => take(api.DELETE('/v1/dead-letters', { params: { query: filter } })), { keys, done: (r) => t.purged(numeral(r.deleted)) });
  const narrowed = Object.values(filter).some((v) => v !== undefined);
  const close = () => setAsked(null);
  return (
    <Group gap="xs">
      <Button variant="default" onClick={() => setAsked('replay')}>
        {t.replayAll}
      </Button>
      <Button variant="default" c={narrowed ? 'red' : undefined} disabled={!narrowed} title={narrowed ? undefined : t.purgeNarrow} onClick={() => setAsked('purge')}>
        {t.purgeAll}
      </Button>
      <ConfirmDialog opened={asked === 'replay'} onClose={close} title={t.replayAll} action={t.replay} busy={replay.isPending} onConfirm={() => replay.mutate(undefined, { onSettled: close })}>
        {t.replaySure}
      </ConfirmDialog>
      <ConfirmDialog opened={asked === 'purge'} onClose={close} title={t.purgeAll} action={t.remove} name={t.remove} busy={purge.isPending} onConfirm={() => purge.mutate(undefined, { onSettled: close })}>
        {t.purgeSure}
      </ConfirmDialog>
    </Group>
  );
}

function Bulk({ rows, clear }: { rows: Letter[]; clear: () => void }) {
  const t = words.use();
  const path = (l: Letter) => ({ params: { path: { letterID: l.id } } });
  return (
    <BulkButtons
      rows={rows}
      clear={clear}
      lists={['dead-letters', 'rule-stats']}
      name={(l) => l.id}
      acts={[
        { label: t.replay, act: (l) => take(api.POST('/v1/dead-letters/{letterID}/replay', path(l))) },
        { label: t.remove, sure: t.removeLetters, hint: t.lettersGone, act: (l) => take(api.DELETE('/v1/dead-letters/{letterID}', path(l))) },
      ]}
    />
  );
}
