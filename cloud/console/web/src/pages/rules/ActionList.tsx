import { Accordion, Alert, Button, Group, Select, Stack, Switch, Text } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'wouter';
import { api, take } from '../../api/client';
import { CodeEditor } from '../../kit/CodeEditor';
import { useRead } from '../../kit/data';
import { useLanguage } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { pruned } from '../../kit/schema';
import { SchemaForm } from '../../kit/SchemaForm';
import { words as kitWords } from '../../kit/text';
import { formOf } from '../connectors/kinds';
import { actionForm, actionKinds, delivery } from './actions';
import type { Action, Draft } from './RuleEditor';
import { words } from './text';

const most = 10;

/** ActionList is what is done with the results of a rule: up to ten actions, and one that is told of what the others give up. */
export function ActionList({ draft, onChange }: { draft: Draft; onChange: (part: Partial<Draft>) => void }) {
  const t = words.use();
  const actions = (draft.actions ?? []) as Action[];
  const set = (next: Action[]) => onChange({ actions: next });
  const [open, setOpen] = useState<string[]>([]);
  const add = () => {
    set([...actions, { kind: 'republish' } as Action]);
    setOpen([...open, String(actions.length)]);
  };
  return (
    <Stack gap="xs" role="group" aria-label={t.actions}>
      <Text size="sm" fw={600} aria-hidden="true">
        {t.actions}
      </Text>
      {actions.length === 0 && (
        <Text size="sm" c="dimmed">
          {t.noActions}
        </Text>
      )}
      <Accordion multiple variant="contained" value={open} onChange={setOpen}>
        {actions.map((a, i) => (
          <Accordion.Item key={i} value={String(i)}>
            <Accordion.Control>{`${i + 1}. ${actionKinds[a.kind]?.title ?? a.kind}${targetOf(a)}`}</Accordion.Control>
            <Accordion.Panel>
              <ActionForm action={a} label={t.actionNo(i + 1)} onChange={(next) => set(actions.map((old, j) => (j === i ? next : old)))} onRemove={() => set(actions.filter((_, j) => j !== i))} fallback />
            </Accordion.Panel>
          </Accordion.Item>
        ))}
        {draft.errorAction && (
          <Accordion.Item value="error">
            <Accordion.Control>{`${t.errorAction}: ${actionKinds[(draft.errorAction as Action).kind]?.title ?? ''}${targetOf(draft.errorAction as Action)}`}</Accordion.Control>
            <Accordion.Panel>
              <Text size="sm" c="dimmed" mb="sm">
                {t.errorActionHint}
              </Text>
              <ActionForm action={draft.errorAction as Action} label={t.errorAction} onChange={(next) => onChange({ errorAction: next })} onRemove={() => onChange({ errorAction: undefined })} />
            </Accordion.Panel>
          </Accordion.Item>
        )}
      </Accordion>
      <Group>
        <Button size="xs" variant="default" leftSection={<Icon name="plus" size={14} />} disabled={actions.length >= most} onClick={add}>
          {t.addAction}
        </Button>
        {!draft.errorAction && (
          <Button
            size="xs"
            variant="default"
            leftSection={<Icon name="warning" size={14} />}
            onClick={() => {
              onChange({ errorAction: { kind: 'republish' } });
              setOpen([...open, 'error']);
            }}
          >
            {t.addErrorAction}
          </Button>
        )}
      </Group>
    </Stack>
  );
}

const targetOf = (a: Action) => {
  const target = a.topic ?? a.url ?? a.path ?? a.table ?? a.subject ?? a.measurement ?? a.collection;
  return typeof target === 'string' ? ` · ${target}` : '';
};

interface FormProps {
  action: Action;
  label: string;
  onChange: (next: Action) => void;
  onRemove: () => void;
  /** Whether it may have a fallback. */
  fallback?: boolean;
}

/** ActionForm asks for one action: by a form that its kind makes, or as JSON. */
function ActionForm({ action, label, onChange, onRemove, fallback }: FormProps) {
  const t = words.use();
  const kit = kitWords.use();
  const [asJSON, setAsJSON] = useState(false);
  return (
    <Stack gap="sm" role="group" aria-label={label}>
      <Group justify="space-between" align="flex-end">
        <Select label={t.kind} data={Object.entries(actionKinds).map(([value, k]) => ({ value, label: k.title }))} value={action.kind} allowDeselect={false} onChange={(kind) => onChange({ id: action.id, kind: kind! } as Action)} />
        <Group gap="sm">
          <Switch label={t.asJSON} checked={asJSON} onChange={(e) => setAsJSON(e.currentTarget.checked)} />
          <Button size="xs" variant="light" color="red" onClick={onRemove}>
            {kit.drop}
          </Button>
        </Group>
      </Group>
      {asJSON ? <AsJSON action={action} onChange={onChange} /> : <ByForm action={action} onChange={onChange} />}
      {fallback && !asJSON && <Fallback action={action} onChange={onChange} />}
    </Stack>
  );
}

function ByForm({ action, onChange }: { action: Action; onChange: (next: Action) => void }) {
  const t = words.use();
  const language = useLanguage();
  const [more, setMore] = useState(delivery.some(([name]) => action[name] !== undefined));
  const kind = actionKinds[action.kind];
  // What the form does not ask for stays as it is.
  const take = (value: unknown) => onChange({ ...keep(action, value), kind: action.kind } as Action);
  return (
    <>
      {kind && kind.connector !== 'none' && <ConnectorPick kind={action.kind} optional={kind.connector === 'may'} value={typeof action.connector === 'string' ? action.connector : ''} onChange={(id) => take({ ...action, connector: id || undefined })} />}
      <SchemaForm key={action.kind} schema={actionForm(action.kind, language)} value={action} onChange={take} />
      <Switch label={t.howDelivered} checked={more} onChange={(e) => setMore(e.currentTarget.checked)} />
      {more && <SchemaForm schema={formOf(delivery, language)} value={action} onChange={take} />}
    </>
  );
}

const keep = (old: Action, value: unknown) => ({ ...(pruned(value) as object), id: old.id });

function ConnectorPick({ kind, optional, value, onChange }: { kind: string; optional: boolean; value: string; onChange: (id: string) => void }) {
  const t = words.use();
  const read = useRead(['connectors', 'all'], (signal) => take(api.GET('/v1/connectors', { params: { query: { limit: 1000 } }, signal })));
  const fitting = (read.data?.items ?? []).filter((c) => c.kind === kind);
  return (
    <div>
      <Select label={t.connector} withAsterisk={!optional} clearable={optional} data={fitting.map((c) => ({ value: c.id, label: c.name }))} value={value || null} onChange={(v) => onChange(v ?? '')} searchable />
      {read.data && fitting.length === 0 && !optional && (
        <Text size="sm" mt={4}>
          {t.noConnector} <Link href={`/connectors/new?kind=${kind}`}>{t.makeConnector}</Link>
        </Text>
      )}
    </div>
  );
}

function AsJSON({ action, onChange }: { action: Action; onChange: (next: Action) => void }) {
  const t = words.use();
  const [typed, setTyped] = useState(() => JSON.stringify(action, null, 2));
  const [wrong, setWrong] = useState(false);
  return (
    <>
      <CodeEditor
        language="json"
        label={t.asJSON}
        value={typed}
        height="16rem"
        onChange={(text) => {
          setTyped(text);
          try {
            onChange(JSON.parse(text) as Action);
            setWrong(false);
          } catch {
            setWrong(true);
          }
        }}
      />
      {wrong && <Alert color="red">{t.wrongJSON}</Alert>}
    </>
  );
}

function Fallback({ action, onChange }: { action: Action; onChange: (next: Action) => void }) {
  const t = words.use();
  const inner = action.fallback as Action | undefined;
  return (
    <>
      <Switch label={t.fallback} description={t.fallbackHint} checked={inner !== undefined} onChange={(e) => onChange({ ...action, fallback: e.currentTarget.checked ? { kind: 'republish' } : undefined } as Action)} />
      {inner && <ActionForm action={inner} label={t.fallback} onChange={(next) => onChange({ ...action, fallback: next } as Action)} onRemove={() => onChange({ ...action, fallback: undefined } as Action)} />}
    </>
  );
}
