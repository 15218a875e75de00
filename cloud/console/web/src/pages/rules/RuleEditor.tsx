import { Alert, Button, Group, Paper, SegmentedControl, Stack, Switch, Text, TextInput } from '@mantine/core';
import { lazy, Suspense, useState } from 'react';
import { useQueries } from '@tanstack/react-query';
import { useLocation } from 'wouter';
import { api, currentProject, take, type Schemas } from '../../api/client';
import { ProblemError } from '../../api/problem';
import { useSession } from '../../app/session';
import { useAct } from '../../kit/data';
import { Loading } from '../../kit/Page';
import { modelOf } from '../../kit/schema';
import { words as kitWords } from '../../kit/text';
import { detailOf, toastProblem } from '../../kit/toast';
import { ActionList } from './ActionList';
import { productsIn, type Known } from './complete';
import { words } from './text';
import { TryIt } from './TryIt';

const SqlEditor = lazy(() => import('./sqlEditor'));

export type Draft = Schemas['NewRule'];
export type Action = Schemas['RuleAction'] & Record<string, unknown>;

function draftOf(rule?: Schemas['Rule']): Draft {
  if (!rule) return { name: '', description: '', sql: 'SELECT *\nFROM ', dataType: 'json', dialect: 2, enabled: false, actions: [] };
  const { name, description, sql, dataType, dialect, enabled, actions, errorAction } = rule;
  return { name, description, sql, dataType, dialect, enabled, actions, errorAction };
}

/** RuleEditor makes a rule, or changes the one that it is given; below it the draft is tried as it stands. */
export function RuleEditor({ rule, etag }: { rule?: Schemas['Rule']; etag?: string }) {
  const t = words.use();
  const kit = kitWords.use();
  const { may } = useSession();
  const [, go] = useLocation();
  const [draft, setDraft] = useState(() => draftOf(rule));
  const [fault, setFault] = useState<Error | null>(null);
  const writable = may('rule.write');
  const changed = JSON.stringify(draft) !== JSON.stringify(draftOf(rule));
  const change = (part: Partial<Draft>) => {
    setFault(null);
    setDraft((old) => ({ ...old, ...part }));
  };
  const save = useAct<void, Schemas['Rule']>(
    () =>
      rule
        ? take(api.PUT('/v1/rules/{ruleID}', { params: { path: { ruleID: rule.id } }, headers: etag ? { 'If-Match': etag } : undefined, body: draft }))
        : take(api.POST('/v1/rules', { body: draft })),
    { keys: [['rules'], ['rule', rule?.id], ['rule-stats', rule?.id]], done: rule ? t.saved : t.made, quiet: true },
  );
  const submit = () =>
    save.mutate(undefined, {
      onSuccess(made) {
        setFault(null);
        if (!rule) go(`/rules/${made.id}`);
      },
      onError(err) {
        // What is wrong with the query or an action stands beside them; the rest is told in a corner.
        if (err instanceof ProblemError && err.status === 400) setFault(err);
        else toastProblem(err);
      },
    });
  return (
    <Stack gap="lg">
      <form
        onSubmit={(e) => {
          e.preventDefault();
          submit();
        }}
      >
        <Stack>
          <Group align="flex-start">
            <TextInput label={t.name} required value={draft.name} onChange={(e) => change({ name: e.currentTarget.value })} className="grow" readOnly={!writable} />
            <TextInput label={t.description} value={draft.description ?? ''} onChange={(e) => change({ description: e.currentTarget.value })} className="grow" readOnly={!writable} />
          </Group>
          <Group>
            <Choice label={t.dataType} of={[['json', 'JSON'], ['binary', t.binary]]} value={draft.dataType ?? 'json'} onChange={(v) => change({ dataType: v as Draft['dataType'] })} />
            <Choice label={t.dialect} of={[['2', t.ours], ['1', t.stock]]} value={String(draft.dialect ?? 2)} onChange={(v) => change({ dialect: Number(v) as Draft['dialect'] })} />
            {!rule && <Switch label={t.enableNow} checked={draft.enabled ?? false} onChange={(e) => change({ enabled: e.currentTarget.checked })} mt="lg" />}
          </Group>
          <div>
            <Text size="sm" fw={600} mb={4} aria-hidden="true">
              {t.sql}
            </Text>
            <Query draft={draft} onChange={(sql) => change({ sql })} readOnly={!writable} />
            <Text size="xs" c="dimmed" mt={4}>
              {t.sqlHint}
            </Text>
          </div>
          {fault && (
            <Alert color="red" role="alert" title={t.notTaken} data-fault>
              <span className="wrap">{detailOf(fault)}</span>
            </Alert>
          )}
          {writable && <ActionList draft={draft} onChange={change} />}
          {writable && (
            <Group>
              <Button type="submit" loading={save.isPending} disabled={!changed || draft.name.trim() === ''}>
                {rule ? kit.save : t.create}
              </Button>
              {changed && rule && (
                <Button
                  variant="default"
                  onClick={() => {
                    setDraft(draftOf(rule));
                    setFault(null);
                  }}
                >
                  {t.discard}
                </Button>
              )}
            </Group>
          )}
        </Stack>
      </form>
      {writable && (
        <Paper withBorder p="md">
          <TryIt draft={draft} />
        </Paper>
      )}
    </Stack>
  );
}

function Choice({ label, of, value, onChange }: { label: string; of: [value: string, label: string][]; value: string; onChange: (v: string) => void }) {
  return (
    <div role="group" aria-label={label}>
      <Text size="sm" fw={600} mb={4} aria-hidden="true">
        {label}
      </Text>
      <SegmentedControl aria-label={label} data={of.map(([v, l]) => ({ value: v, label: l }))} value={value} onChange={onChange} />
    </div>
  );
}

/** Query is the editor of the SQL, which knows the thing models of the products in FROM. */
function Query({ draft, onChange, readOnly }: { draft: Draft; onChange: (sql: string) => void; readOnly: boolean }) {
  const t = words.use();
  const known = useKnown(productsIn(draft.sql));
  return (
    <Suspense fallback={<Loading />}>
      <SqlEditor value={draft.sql} onChange={onChange} label={t.sql} known={known} readOnly={readOnly} />
    </Suspense>
  );
}

const combine = (all: { data?: Known | null }[]) => all.flatMap((r) => (r.data ? [r.data] : []));

/** useKnown are the thing models of some products; the list stays the same object while it is the same. */
function useKnown(products: string[]): Known[] {
  return useQueries({
    queries: products.slice(0, 5).map((product) => ({
      queryKey: [currentProject(), 'thing-model', 'known', product],
      retry: false,
      staleTime: 60_000,
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const read = await api.GET('/v1/products/{productSN}/thing-model', { params: { path: { productSN: product } }, signal });
        return read.data ? { product, model: modelOf(read.data) } : null;
      },
    })),
    combine,
  });
}
