import { Autocomplete, Group, NumberInput, Select, Stack, TextInput } from '@mantine/core';
import { useState } from 'react';
import { api, take } from '../../api/client';
import { useRead } from '../../kit/data';
import { DevicePick, ProductPick } from '../../kit/Pick';
import { modelOf } from '../../kit/schema';
import { kinds, ops, typedOf, valueOf, type Condition, type Kind } from './condition';
import { words } from './text';

interface Props {
  value: Condition;
  onChange: (c: Condition) => void;
}

/** ConditionForm asks for when there is an alarm: what is asked depends on the kind. */
export function ConditionForm({ value: c, onChange }: Props) {
  const t = words.use();
  const set = (change: Partial<Condition>) => onChange({ ...c, ...change });
  const metric = c.kind === 'metric' || c.kind === 'rule';
  return (
    <Stack gap="sm">
      <Select label={t.kind} description={t[`hint_${c.kind}`]} allowDeselect={false} value={c.kind} onChange={(v) => set({ kind: v as Kind, metric: undefined })} data={kinds.map((value) => ({ value, label: t[`kind_${value}`] }))} />
      {c.kind === 'rule' ? (
        <RulePick value={c} onChange={onChange} />
      ) : (
        <ProductPick w="100%" label={c.kind === 'metric' ? t.productOrAll : undefined} required={c.kind !== 'metric'} value={c.productSN ?? ''} onChange={(p) => set({ productSN: p || undefined, deviceSN: undefined, property: undefined })} />
      )}
      {!metric && <DevicePick w="100%" label={t.onlyDevice} product={c.productSN ?? ''} value={c.deviceSN ?? ''} onChange={(d) => set({ deviceSN: d || undefined })} />}
      {c.kind === 'property' && <PropertyPick value={c} onChange={onChange} />}
      {metric && <MetricPick value={c} onChange={onChange} />}
      {c.kind !== 'presence' && <Comparison key={c.kind} value={c} onChange={onChange} />}
    </Stack>
  );
}

function RulePick({ value: c, onChange }: Props) {
  const t = words.use();
  const rules = useRead(['rules', 'all'], (signal) => take(api.GET('/v1/rules', { params: { query: { limit: 1000, sort: 'name' } }, signal }))).data?.items ?? [];
  return <Select label={t.kind_rule} withAsterisk searchable value={c.rule ?? null} onChange={(v) => onChange({ ...c, rule: v ?? undefined })} data={rules.map((r) => ({ value: r.id, label: r.name }))} />;
}

function PropertyPick({ value: c, onChange }: Props) {
  const t = words.use();
  const product = c.productSN ?? '';
  const model = useRead(['thing-model', product], (signal) => take(api.GET('/v1/products/{productSN}/thing-model', { params: { path: { productSN: product } }, signal })), product !== '');
  return (
    <Autocomplete
      label={t.property}
      description={t.propertyHint}
      withAsterisk
      disabled={product === ''}
      data={modelOf(model.data).Property.map((p) => p.Identifier)}
      value={c.property ?? ''}
      onChange={(v) => onChange({ ...c, property: v || undefined })}
      spellCheck={false}
    />
  );
}

function MetricPick({ value: c, onChange }: Props) {
  const t = words.use();
  const read = useRead(['metrics'], (signal) => take(api.GET('/v1/metrics', { signal })));
  const metrics = (read.data?.items ?? []).filter((m) => c.kind !== 'rule' || m.name.startsWith('rule_'));
  const chosen = metrics.find((m) => m.name === c.metric);
  return (
    <Group grow align="flex-start">
      <Select label={t.metric} description={chosen ? `${chosen.description} · ${chosen.unit}` : t.metricHint} withAsterisk searchable value={c.metric ?? null} onChange={(v) => onChange({ ...c, metric: v ?? undefined })} data={metrics.map((m) => m.name)} />
      <NumberInput label={t.window} description={t.windowHint} min={1} max={1440} allowDecimal={false} value={c.windowMinutes ?? 1} onChange={(v) => onChange({ ...c, windowMinutes: Math.max(1, Number(v) || 1) })} />
    </Group>
  );
}

function Comparison({ value: c, onChange }: Props) {
  const t = words.use();
  const [typed, setTyped] = useState(typedOf(c.value));
  const [end, setEnd] = useState(typedOf(c.clearValue));
  return (
    <Group grow align="flex-start">
      <Select label={t.comparison} description={t.comparisonHint} allowDeselect={false} value={c.op ?? null} onChange={(v) => onChange({ ...c, op: v as Condition['op'] })} data={ops} />
      <TextInput
        label={t.value}
        description={c.kind === 'property' ? t.valueHint : t.numberHint}
        withAsterisk
        value={typed}
        onChange={(e) => {
          setTyped(e.currentTarget.value);
          onChange({ ...c, value: valueOf(e.currentTarget.value) });
        }}
      />
      <TextInput
        label={t.clearValue}
        description={t.clearHint}
        value={end}
        onChange={(e) => {
          setEnd(e.currentTarget.value);
          onChange({ ...c, clearValue: valueOf(e.currentTarget.value) });
        }}
      />
    </Group>
  );
}
