import { Select } from '@mantine/core';
import { Link } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { BulkButtons } from '../../kit/BulkButtons';
import { useRead } from '../../kit/data';
import { numeral } from '../../kit/i18n';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { useParam, useParamSet } from '../../kit/params';
import { DeviceChoice, ProductPick } from '../../kit/Pick';
import { productName, useProducts } from '../../kit/products';
import { useRefresh } from '../../kit/refresh';
import { Time } from '../../kit/Time';
import { AlarmStateBadge, severities, SeverityBadge } from './badges';
import { words } from './text';
import { useWho } from '../../kit/who';

type Alarm = Schemas['Alarm'];

/** The states of what the reader may choose to see; what goes on is shown first. */
const views: Record<string, Schemas['AlarmState'][] | undefined> = { current: ['open', 'acknowledged'], open: ['open'], acknowledged: ['acknowledged'], history: ['cleared'], all: undefined };

/** AlarmList is what goes on, or went on; it changes as alarms do. */
export function AlarmList() {
  const t = words.use();
  const { may } = useSession();
  const products = useProducts();
  const who = useWho();
  const [params] = useParamSet();
  const [view, severity, product, device, rule] = ['show', 'severity', 'product', 'device', 'rule'].map((name) => params.get(name) ?? '') as [string, string, string, string, string];
  useRefresh('/v1/alarms/events', [['alarms']]);
  const columns: Column<Alarm>[] = [
    { id: 'text', title: t.what, sort: 'text', cell: (a) => <span className="wrap">{a.text}</span>, csv: (a) => a.text },
    { id: 'severity', title: t.severity, sort: 'severity', cell: (a) => <SeverityBadge of={a.severity} />, csv: (a) => a.severity },
    { id: 'state', title: t.state, cell: (a) => <AlarmStateBadge of={a.state} />, csv: (a) => a.state },
    { id: 'device', title: t.where, sort: 'device', cell: (a) => <Where of={a} />, csv: (a) => a.deviceSN },
    { id: 'product', title: t.product, sort: 'product', hidden: true, cell: (a) => a.productSN && productName(products, a.productSN), csv: (a) => a.productSN },
    { id: 'rule', title: t.rule, sort: 'ruleName', cell: (a) => a.ruleName, csv: (a) => a.ruleName },
    { id: 'seen', title: t.seen, sort: 'seen', hidden: true, cell: (a) => numeral(a.seen), csv: (a) => a.seen },
    { id: 'value', title: t.value, hidden: true, cell: (a) => a.value, csv: (a) => a.value },
    { id: 'opened', title: t.opened, sort: 'created', cell: (a) => <Time at={a.openedAt} />, csv: (a) => a.openedAt },
    { id: 'acknowledged', title: t.acknowledgedAt, sort: 'acknowledged', hidden: true, cell: (a) => a.acknowledgedAt && <Time at={a.acknowledgedAt} />, csv: (a) => a.acknowledgedAt },
    { id: 'by', title: t.acknowledgedBy, hidden: true, cell: (a) => who(a.acknowledgedBy), csv: (a) => who(a.acknowledgedBy) },
    { id: 'cleared', title: t.clearedAt, sort: 'cleared', hidden: true, cell: (a) => a.clearedAt && <Time at={a.clearedAt} />, csv: (a) => a.clearedAt },
    { id: 'ended', title: t.clearedBy, hidden: true, cell: (a) => who(a.clearedBy), csv: (a) => who(a.clearedBy) },
  ];
  return (
    <ListPage<Alarm>
      name="alarms"
      about={[view, severity, product, device, rule]}
      columns={columns}
      rowKey={(a) => a.id}
      rowLink={(a) => `/alarms/one/${a.id}`}
      empty={view === '' ? t.quiet : t.noneOfThese}
      facets={<Facets />}
      filter={{ placeholder: 'device:pump* severity:critical opened>-1d' }}
      load={({ signal, ...q }) => {
        const query = {
          state: views[view || 'current'],
          severity: severity ? [severity as Schemas['AlarmSeverity']] : undefined,
          product: product || undefined,
          device: (product && device) || undefined,
          rule: rule || undefined,
          ...asked(q),
        };
        return take(api.GET('/v1/alarms', { params: { query }, querySerializer: { array: { style: 'form', explode: false } }, signal }));
      }}
      bulk={may('alarm.handle') ? (rows, clear) => <Bulk rows={rows} clear={clear} /> : undefined}
    />
  );
}

/** Where is the device that an alarm is about; one of a metric of the project is about none. */
export function Where({ of: a }: { of: Alarm }) {
  if (!a.productSN) return null;
  if (!a.deviceSN) return <Link href={`/products/${a.productSN}`} className="row-link">{a.productSN}</Link>;
  return (
    <Link href={`/devices/${a.productSN}/${a.deviceSN}`} className="row-link">
      {a.deviceSN}
    </Link>
  );
}

function Facets() {
  const t = words.use();
  const [view, setView] = useParam('show');
  const [severity, setSeverity] = useParam('severity');
  const [rule, setRule] = useParam('rule');
  const [params, change] = useParamSet();
  const rules = useAlarmRules();
  const product = params.get('product') ?? '';
  return (
    <>
      <Select
        label={t.show}
        w={190}
        allowDeselect={false}
        value={view || 'current'}
        onChange={(v) => setView(v === 'current' ? '' : (v ?? ''))}
        data={[
          { value: 'current', label: t.current },
          { value: 'open', label: t.open },
          { value: 'acknowledged', label: t.acknowledged },
          { value: 'history', label: t.history },
          { value: 'all', label: t.all },
        ]}
      />
      <Select label={t.severity} w={140} placeholder={t.all} clearable value={severity || null} onChange={(v) => setSeverity(v ?? '')} data={severities.map((value) => ({ value, label: t[value] }))} />
      <Select label={t.rule} w={180} placeholder={t.all} clearable searchable value={rule || null} onChange={(v) => setRule(v ?? '')} data={rules.map((r) => ({ value: r.id, label: r.name }))} />
      <ProductPick w={170} value={product} onChange={(p) => change({ product: p, device: '', at: '' })} />
      {product && <DeviceChoice key={product} w={170} product={product} value={params.get('device') ?? ''} onChange={(device) => change({ device, at: '' })} />}
    </>
  );
}

/** useAlarmRules are the alarm rules of the project, the first thousand. */
export function useAlarmRules(): Schemas['AlarmRule'][] {
  const read = useRead(['alarm-rules', 'all'], (signal) => take(api.GET('/v1/alarm-rules', { params: { query: { limit: 1000 } }, signal })));
  return read.data?.items ?? [];
}

function Bulk({ rows, clear }: { rows: Alarm[]; clear: () => void }) {
  const t = words.use();
  const path = (a: Alarm) => ({ params: { path: { alarmID: a.id } } });
  return (
    <BulkButtons
      rows={rows}
      clear={clear}
      lists={['alarms']}
      name={(a) => a.text}
      acts={[
        { label: t.acknowledge, takes: (a) => a.state === 'open', act: (a) => take(api.POST('/v1/alarms/{alarmID}/acknowledge', path(a))) },
        { label: t.clearIt, takes: (a) => a.state !== 'cleared', act: (a) => take(api.POST('/v1/alarms/{alarmID}/clear', path(a))) },
      ]}
    />
  );
}
