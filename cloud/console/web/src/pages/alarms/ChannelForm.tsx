import { Alert, Button, Checkbox, Group, Select, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useLocation } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { ProblemError } from '../../api/problem';
import { useAct } from '../../kit/data';
import { useLanguage } from '../../kit/i18n';
import { faultsIn, pruned } from '../../kit/schema';
import { SchemaForm } from '../../kit/SchemaForm';
import { words as kitWords } from '../../kit/text';
import { detailOf, toastProblem } from '../../kit/toast';
import { formOf } from '../connectors/kinds';
import { channelKinds } from './channels';
import { useKindName } from './ChannelList';
import { words } from './text';

type Config = Record<string, unknown>;

/** ChannelForm makes a channel, or changes the one that it is given: a secret that is left empty stays, one that is ticked goes. */
export function ChannelForm({ channel }: { channel?: Schemas['AlarmChannel'] }) {
  const t = words.use();
  const kit = kitWords.use();
  const language = useLanguage();
  const kindName = useKindName();
  const [, go] = useLocation();
  const [kind, setKind] = useState(channel?.kind ?? 'webhook');
  const [name, setName] = useState(channel?.name ?? '');
  const [config, setConfig] = useState<Config>(() => ({ ...((channel?.config as Config | undefined) ?? {}) }));
  const [dropped, setDropped] = useState<string[]>([]);
  const [checked, setChecked] = useState(false);
  const [fault, setFault] = useState<Error | null>(null);
  const kept = channel?.secrets ?? [];
  const asked = channelKinds[kind];
  const schema = formOf(asked?.members ?? [], language, asked?.required.filter((m) => !kept.includes(m)));
  const said = (): Config => ({ ...(pruned(config) as Config), ...Object.fromEntries(dropped.map((k) => [k, null])) });
  const faults = checked ? faultsIn(schema, pruned(config) ?? {}) : new Map();
  const save = useAct<void, Schemas['AlarmChannel']>(
    () =>
      channel
        ? take(api.PUT('/v1/alarm-channels/{channelID}', { params: { path: { channelID: channel.id } }, headers: { 'If-Match': `"${channel.revision}"` }, body: { name: name.trim(), config: said() } }))
        : take(api.POST('/v1/alarm-channels', { body: { name: name.trim(), kind, config: said() } })),
    { keys: [['alarm-channels'], ['alarm-channel', channel?.id]], done: channel ? t.saved : t.channelMade, quiet: true },
  );
  const submit = () => {
    setChecked(true);
    if (faultsIn(schema, pruned(config) ?? {}).size > 0) return;
    save.mutate(undefined, {
      onSuccess(made) {
        setFault(null);
        if (!channel) go(`/alarms/channels/${made.id}`);
      },
      onError: (err) => (err instanceof ProblemError && err.status === 400 ? setFault(err) : toastProblem(err)),
    });
  };
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        submit();
      }}
    >
      <Stack maw={720}>
        {!channel && (
          <Select
            label={t.kind}
            allowDeselect={false}
            data={Object.keys(channelKinds).map((value) => ({ value, label: kindName(value) }))}
            value={kind}
            onChange={(k) => {
              setKind(k!);
              setConfig({});
              setChecked(false);
            }}
          />
        )}
        <TextInput label={t.name} required value={name} onChange={(e) => setName(e.currentTarget.value)} />
        <SchemaForm key={kind} schema={schema} value={config} onChange={(v) => setConfig(v as Config)} faults={faults} />
        {kept.length > 0 && (
          <Stack gap="xs" role="group" aria-label={t.secretsSet}>
            <Text size="sm" fw={600} aria-hidden="true">
              {t.secretsSet}
            </Text>
            <Text size="xs" c="dimmed">
              {t.secretsHint}
            </Text>
            {kept
              .filter((s) => !asked?.required.includes(s))
              .map((s) => (
                <Checkbox
                  key={s}
                  label={t.dropSecret(s)}
                  disabled={pruned(config[s]) !== undefined}
                  checked={dropped.includes(s)}
                  onChange={(e) => setDropped(e.currentTarget.checked ? [...dropped, s] : dropped.filter((d) => d !== s))}
                />
              ))}
          </Stack>
        )}
        {fault && (
          <Alert color="red" role="alert" title={t.notTaken}>
            <span className="wrap">{detailOf(fault)}</span>
          </Alert>
        )}
        <Group>
          <Button type="submit" loading={save.isPending} disabled={name.trim() === ''}>
            {channel ? kit.save : t.createChannel}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
