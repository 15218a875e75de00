import { Alert, Button, Checkbox, Group, Select, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useLocation } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { ProblemError } from '../../api/problem';
import { useSession } from '../../app/session';
import { useAct } from '../../kit/data';
import { numeral, useLanguage } from '../../kit/i18n';
import { Fault } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { faultsIn, pruned } from '../../kit/schema';
import { SchemaForm } from '../../kit/SchemaForm';
import { words as kitWords } from '../../kit/text';
import { detailOf, toastProblem } from '../../kit/toast';
import { formOf, kinds } from './kinds';
import { words } from './text';

type Config = Record<string, unknown>;

/** ConnectorForm makes a connector, or changes the one that it is given. What is typed can be tested before it is saved. */
export function ConnectorForm({ connector, etag }: { connector?: Schemas['Connector']; etag?: string }) {
  const t = words.use();
  const kit = kitWords.use();
  const language = useLanguage();
  const { may } = useSession();
  const [, go] = useLocation();
  const [named] = useParam('kind');
  const [kind, setKind] = useState(connector?.kind ?? (named in kinds ? named : 'http'));
  const [name, setName] = useState(connector?.name ?? '');
  const [description, setDescription] = useState(connector?.description ?? '');
  const [config, setConfig] = useState<Config>(() => ({ ...((connector?.config as Config | undefined) ?? {}) }));
  const [dropped, setDropped] = useState<string[]>([]);
  const [fault, setFault] = useState<Error | null>(null);
  const [checked, setChecked] = useState(false);
  // A secret that is not typed is not said, and stays; one that is to go is null.
  const full = (): Config => ({ ...(pruned(config) as Config), ...Object.fromEntries(dropped.map((k) => [k, null])) });
  const schema = formOf(kinds[kind]?.members ?? [], language, kinds[kind]?.required);
  const faults = checked ? faultsIn(schema, pruned(config) ?? {}) : new Map();
  const ready = () => {
    setChecked(true);
    return faultsIn(schema, pruned(config) ?? {}).size === 0;
  };
  const save = useAct<void, Schemas['Connector']>(
    () =>
      connector
        ? take(api.PUT('/v1/connectors/{connectorID}', { params: { path: { connectorID: connector.id } }, headers: etag ? { 'If-Match': etag } : undefined, body: { name, description, config: full() } }))
        : take(api.POST('/v1/connectors', { body: { name, description, kind, config: full() } })),
    { keys: [['connectors'], ['connector', connector?.id]], done: connector ? t.saved : t.made, quiet: true },
  );
  const submit = () => {
    if (!ready()) return;
    save.mutate(undefined, {
      onSuccess(made) {
        setFault(null);
        if (!connector) go(`/connectors/${made.id}`);
      },
      onError: (err) => (err instanceof ProblemError && err.status === 400 ? setFault(err) : toastProblem(err)),
    });
  };
  const writable = may('rule.write');
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        submit();
      }}
    >
      <Stack maw={720}>
        {!connector && (
          <Select
            label={t.kind}
            data={Object.entries(kinds).map(([value, k]) => ({ value, label: k.title }))}
            value={kind}
            allowDeselect={false}
            onChange={(k) => {
              setKind(k!);
              setConfig({});
              setChecked(false);
            }}
          />
        )}
        <TextInput label={t.name} required value={name} onChange={(e) => setName(e.currentTarget.value)} />
        <TextInput label={t.description} value={description} onChange={(e) => setDescription(e.currentTarget.value)} />
        <SchemaForm key={kind} schema={schema} value={config} onChange={(v) => setConfig(v as Config)} faults={faults} />
        {connector && connector.secrets.length > 0 && <Kept secrets={connector.secrets} typed={config} dropped={dropped} onChange={setDropped} />}
        {fault && (
          <Alert color="red" role="alert" title={t.notTaken}>
            <span className="wrap">{detailOf(fault)}</span>
          </Alert>
        )}
        {writable && <Test id={connector?.id} kind={kind} config={full} ready={ready} />}
        {writable && (
          <Group>
            <Button type="submit" loading={save.isPending} disabled={name.trim() === ''}>
              {connector ? kit.save : t.create}
            </Button>
          </Group>
        )}
      </Stack>
    </form>
  );
}

/** Kept tells which secrets are set. They are never shown; typing another replaces one, and a tick takes it away. */
function Kept({ secrets, typed, dropped, onChange }: { secrets: string[]; typed: Config; dropped: string[]; onChange: (d: string[]) => void }) {
  const t = words.use();
  return (
    <Stack gap="xs" role="group" aria-label={t.secretsSet}>
      <Text size="sm" fw={600} aria-hidden="true">
        {t.secretsSet}
      </Text>
      <Text size="xs" c="dimmed">
        {t.secretsHint}
      </Text>
      {secrets.map((s) => (
        <Checkbox
          key={s}
          label={t.dropSecret(s)}
          disabled={pruned(typed[s]) !== undefined}
          checked={dropped.includes(s)}
          onChange={(e) => onChange(e.currentTarget.checked ? [...dropped, s] : dropped.filter((d) => d !== s))}
        />
      ))}
    </Stack>
  );
}

/** Test goes to the target and back with what is typed. */
function Test({ id, kind, config, ready }: { id?: string; kind: string; config: () => Config; ready: () => boolean }) {
  const t = words.use();
  const run = useAct(() => (id ? take(api.POST('/v1/connectors/{connectorID}/test', { params: { path: { connectorID: id } }, body: { config: config() } })) : take(api.POST('/v1/connector-test', { body: { kind, config: config() } }))), { quiet: true });
  return (
    <Stack gap="xs">
      <Group>
        <Button variant="default" loading={run.isPending} onClick={() => ready() && run.mutate(undefined)}>
          {t.test}
        </Button>
        <Text size="sm" c="dimmed">
          {t.testHint}
        </Text>
      </Group>
      <div aria-live="polite">
        {run.error && <Fault error={run.error} />}
        {run.data && !run.isPending && !run.error && (
          <Alert color={run.data.ok ? 'green' : 'red'} title={run.data.ok ? t.works : t.worksNot} data-test={run.data.ok ? 'ok' : 'failed'}>
            {run.data.error && (
              <Text size="sm" className="wrap">
                {run.data.error}
              </Text>
            )}
            <Text size="sm">{t.took(numeral(run.data.tookMillis))}</Text>
          </Alert>
        )}
      </div>
    </Stack>
  );
}
