import { Button, Group, NumberInput, Select, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useAct } from '../../kit/data';
import { JsonView } from '../../kit/JsonView';
import { useParam } from '../../kit/params';
import { blank, faultsIn, parametersSchema, toWire, type ThingCommand, type ThingModel } from '../../kit/schema';
import { SchemaForm } from '../../kit/SchemaForm';
import { Answer } from './Answer';
import { words } from './text';

/** CallCommand calls a command of the thing model, by a form that its input makes. */
export function CallCommand({ device, model }: { device: Schemas['Device']; model: ThingModel }) {
  const t = words.use();
  const [named, setNamed] = useParam('command');
  const command = model.Command.find((c) => c.Identifier === named) ?? model.Command[0];
  if (!command) return <Text c="dimmed">{t.noCommands}</Text>;
  return (
    <Stack maw={720}>
      <Select label={t.command} data={model.Command.map((c) => ({ value: c.Identifier, label: c.Name ? `${c.Name} (${c.Identifier})` : c.Identifier }))} value={command.Identifier} allowDeselect={false} onChange={(v) => setNamed(v ?? '')} />
      {command.Description && <Text size="sm">{command.Description}</Text>}
      <Call key={command.Identifier} device={device} command={command} />
    </Stack>
  );
}

function Call({ device, command }: { device: Schemas['Device']; command: ThingCommand }) {
  const t = words.use();
  const schema = parametersSchema(command.Input ?? []);
  const [input, setInput] = useState(() => blank(schema));
  const [seconds, setSeconds] = useState(5);
  const [wait, setWait] = useState(0);
  const [checked, setChecked] = useState(false);
  const path = { productSN: device.productSN, deviceSN: device.deviceSN };
  const call = useAct(
    () => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/commands', { params: { path }, body: { identifier: command.Identifier, input: toWire(schema, input) as Record<string, unknown>, async: false, timeoutSeconds: seconds, queueSeconds: wait } })),
    { quiet: true },
  );
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        setChecked(true);
        if (faultsIn(schema, input).size === 0) call.mutate(undefined);
      }}
    >
      <Stack>
        {(command.Input ?? []).length === 0 ? <Text c="dimmed">{t.noInput}</Text> : <SchemaForm schema={schema} value={input} onChange={setInput} faults={checked ? faultsIn(schema, input) : undefined} />}
        <Group align="flex-end">
          <NumberInput label={t.timeout} min={1} max={60} value={seconds} onChange={(v) => setSeconds(Number(v) || 5)} w={200} />
          <NumberInput label={t.queue} min={0} max={2_592_000} value={wait} onChange={(v) => setWait(Number(v) || 0)} w={280} />
        </Group>
        <Group>
          <Button type="submit" loading={call.isPending}>
            {t.call}
          </Button>
        </Group>
        <Answer
          of={call}
          show={(r) => ({
            good: r.retCode === 0,
            title: r.pending ? t.queued : r.retCode === 0 ? t.answered : t.retCode(r.retCode),
            detail: r.message,
            facts: [[t.requestID, r.requestID]],
            body: r.output && <JsonView value={r.output} label={t.output} />,
          })}
        />
      </Stack>
    </form>
  );
}
