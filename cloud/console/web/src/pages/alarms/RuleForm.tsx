import { Alert, Button, Fieldset, Group, MultiSelect, NumberInput, Select, Stack, Switch, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useLocation } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { ProblemError } from '../../api/problem';
import { useAct } from '../../kit/data';
import { words as kitWords } from '../../kit/text';
import { detailOf, toastProblem } from '../../kit/toast';
import { severities } from './badges';
import { useChannels } from './channels';
import { complete, pickOf } from './condition';
import { ConditionForm } from './ConditionForm';
import { bodyOf } from './RuleList';
import { words } from './text';

type Body = Schemas['NewAlarmRule'];
type Debounce = Schemas['AlarmDebounce'];

/** RuleForm makes an alarm rule, or changes the one that it is given. */
export function RuleForm({ rule }: { rule?: Schemas['AlarmRule'] }) {
  const t = words.use();
  const kit = kitWords.use();
  const [, go] = useLocation();
  const channels = useChannels();
  const [body, setBody] = useState<Body>(() => (rule ? bodyOf(rule) : { name: '', enabled: true, severity: 'major', condition: { kind: 'property', op: '>' }, debounce: {}, channels: [], tellCleared: false }));
  const [fault, setFault] = useState<Error | null>(null);
  const set = (change: Partial<Body>) => setBody({ ...body, ...change });
  const save = useAct<void, Schemas['AlarmRule']>(
    () => {
      const said = { ...body, name: body.name.trim(), condition: pickOf(body.condition) };
      return rule ? take(api.PUT('/v1/alarm-rules/{alarmRuleID}', { params: { path: { alarmRuleID: rule.id } }, headers: { 'If-Match': `"${rule.revision}"` }, body: said })) : take(api.POST('/v1/alarm-rules', { body: said }));
    },
    { keys: [['alarm-rules'], ['alarm-rule', rule?.id], ['alarms']], done: rule ? t.saved : t.ruleMade, quiet: true },
  );
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        save.mutate(undefined, {
          onSuccess(made) {
            setFault(null);
            if (!rule) go(`/alarms/rules/${made.id}`);
          },
          onError: (err) => (err instanceof ProblemError && err.status === 400 ? setFault(err) : toastProblem(err)),
        });
      }}
    >
      <Stack maw={720}>
        <TextInput label={t.name} required value={body.name} maxLength={128} onChange={(e) => set({ name: e.currentTarget.value })} />
        <TextInput label={t.description} value={body.description ?? ''} maxLength={1024} onChange={(e) => set({ description: e.currentTarget.value })} />
        <Group grow align="flex-end">
          <Select label={t.severity} allowDeselect={false} value={body.severity} onChange={(v) => set({ severity: v as Body['severity'] })} data={severities.map((value) => ({ value, label: t[value] }))} />
          <Switch label={t.enabled} checked={body.enabled} onChange={(e) => set({ enabled: e.currentTarget.checked })} mb={6} />
        </Group>
        <Fieldset legend={t.condition}>
          <ConditionForm value={body.condition} onChange={(condition) => set({ condition })} />
        </Fieldset>
        <DebounceForm presence={body.condition.kind === 'presence'} value={body.debounce ?? {}} onChange={(debounce) => set({ debounce })} />
        <MultiSelect
          label={t.channels}
          description={channels.length === 0 ? t.noChannels : t.channelsHint}
          data={channels.map((c) => ({ value: c.id, label: c.name }))}
          value={body.channels ?? []}
          onChange={(v) => set({ channels: v })}
          maxValues={10}
        />
        <Switch label={t.tellCleared} checked={body.tellCleared ?? false} onChange={(e) => set({ tellCleared: e.currentTarget.checked })} />
        {fault && (
          <Alert color="red" role="alert" title={t.notTaken}>
            <span className="wrap">{detailOf(fault)}</span>
          </Alert>
        )}
        <Group>
          <Button type="submit" loading={save.isPending} disabled={body.name.trim() === '' || !complete(body.condition)}>
            {rule ? kit.save : t.createRule}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

/** DebounceForm asks for how long, or how often, it must be so. */
function DebounceForm({ presence, value, onChange }: { presence: boolean; value: Debounce; onChange: (d: Debounce) => void }) {
  const t = words.use();
  const counted = (value.count ?? 0) > 1;
  const how = counted ? 'count' : value.seconds !== undefined && value.seconds > 0 ? 'seconds' : 'once';
  const number = (v: number | string, least: number) => Math.max(least, Number(v) || least);
  return (
    <Group align="flex-end" gap="sm">
      <Select
        label={t.debounce}
        w={260}
        allowDeselect={false}
        value={how}
        onChange={(v) => onChange(v === 'seconds' ? { seconds: 60 } : v === 'count' ? { count: 3, of: 5 } : {})}
        data={[
          { value: 'once', label: t.atOnce },
          { value: 'seconds', label: t.whenLong },
          { value: 'count', label: t.whenOften, disabled: presence },
        ]}
      />
      {how === 'seconds' && <NumberInput label={t.seconds} w={140} min={1} max={604_800} allowDecimal={false} value={value.seconds} onChange={(v) => onChange({ seconds: number(v, 1) })} />}
      {counted && (
        <>
          <NumberInput label={t.count} w={120} min={2} max={value.of ?? 60} allowDecimal={false} value={value.count} onChange={(v) => onChange({ ...value, count: number(v, 2) })} />
          <NumberInput label={t.ofLast} w={140} min={value.count} max={60} allowDecimal={false} value={value.of} onChange={(v) => onChange({ ...value, of: number(v, 2) })} />
        </>
      )}
    </Group>
  );
}
