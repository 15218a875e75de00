import { Button, Checkbox, Group, NumberInput, Stack, Switch, Text } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useAct, useRead } from '../../kit/data';
import { blank, faultsIn, schemaOf, toWire, valueText, type ThingModel } from '../../kit/schema';
import { SchemaForm } from '../../kit/SchemaForm';
import { Answer } from './Answer';
import { words } from './text';

/** SetProperties sets what of a device may be written: those properties that are ticked. */
export function SetProperties({ device, model }: { device: Schemas['Device']; model: ThingModel }) {
  const t = words.use();
  const writable = model.Property.filter((p) => p.AccessMode?.includes('w'));
  const path = { productSN: device.productSN, deviceSN: device.deviceSN };
  const now = useRead(['properties', device.productSN, device.deviceSN], (signal) => take(api.GET('/v1/products/{productSN}/devices/{deviceSN}/properties', { params: { path }, signal })));
  const [values, setValues] = useState<Record<string, unknown>>({});
  const [desired, setDesired] = useState(false);
  const [seconds, setSeconds] = useState(5);
  const [checked, setChecked] = useState(false);
  const chosen = writable.filter((p) => p.Identifier in values);
  const faultsOf = () => new Map(chosen.map((p) => [p.Identifier, faultsIn(schemaOf(p.DataType), values[p.Identifier])]));
  const set = useAct(
    () => {
      const property = Object.fromEntries(chosen.map((p) => [p.Identifier, toWire(schemaOf(p.DataType), values[p.Identifier])]));
      return take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/properties', { params: { path }, body: { property, desired, timeoutSeconds: seconds } }));
    },
    { keys: [['properties', device.productSN, device.deviceSN]], quiet: true },
  );
  if (writable.length === 0) return <Text c="dimmed">{t.noWritable}</Text>;
  const tick = (id: string, on: boolean, start: unknown) =>
    setValues((old) => {
      const { [id]: _gone, ...rest } = old;
      return on ? { ...rest, [id]: start } : rest;
    });
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        setChecked(true);
        if ([...faultsOf().values()].every((f) => f.size === 0)) set.mutate(undefined);
      }}
    >
      <Stack maw={720}>
        {writable.map((p) => {
          const schema = schemaOf(p.DataType);
          const told = now.data?.property[p.Identifier]?.value;
          return (
            <div key={p.Identifier}>
              <Checkbox
                label={`${p.Name || p.Identifier} (${p.Identifier})`}
                description={told === undefined ? undefined : t.lastReported(valueText(p.DataType, told))}
                checked={p.Identifier in values}
                onChange={(e) => tick(p.Identifier, e.currentTarget.checked, blank(schema))}
              />
              {p.Identifier in values && (
                <div style={{ paddingInlineStart: '2rem', marginTop: 6 }}>
                  <SchemaForm
                    schema={{ type: 'object', properties: { [p.Identifier]: { ...schema, title: t.newValue } }, required: [p.Identifier] }}
                    value={{ [p.Identifier]: values[p.Identifier] }}
                    onChange={(v) => setValues((old) => ({ ...old, ...(v as object) }))}
                    faults={checked ? new Map([...faultsIn(schema, values[p.Identifier])].map(([at, f]) => [`/${p.Identifier}${at}`, f])) : undefined}
                  />
                </div>
              )}
            </div>
          );
        })}
        <Switch label={t.desired} description={t.desiredHint} checked={desired} onChange={(e) => setDesired(e.currentTarget.checked)} />
        <NumberInput label={t.timeout} min={1} max={60} value={seconds} onChange={(v) => setSeconds(Number(v) || 5)} w={200} />
        <Group>
          <Button type="submit" loading={set.isPending} disabled={chosen.length === 0}>
            {t.set}
          </Button>
        </Group>
        <Answer
          of={set}
          show={(r) => ({
            good: r.retCode === 0,
            title: r.stored ? t.stored : r.retCode === 0 ? t.taken : t.retCode(r.retCode),
            detail: r.message,
            facts: [[t.requestID, r.requestID]],
          })}
        />
      </Stack>
    </form>
  );
}
