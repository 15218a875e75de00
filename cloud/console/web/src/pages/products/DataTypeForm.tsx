import { ActionIcon, Button, Fieldset, Group, NumberInput, Select, Stack, Text, TextInput } from '@mantine/core';
import { Icon } from '../../kit/icons';
import type { DataType, Parameter } from '../../kit/schema';
import { words } from './modelText';

const types = ['int32', 'float32', 'float64', 'bool', 'enum', 'string', 'date', 'array', 'struct'];

/** typeOf is a type as a new one begins. */
export function typeOf(type: string): DataType {
  switch (type) {
    case 'int32':
      return { Type: type, Spec: { Min: 0, Max: 100 } };
    case 'enum':
      return { Type: type, Spec: { '0': 'zero' } };
    case 'bool':
      return { Type: type, Spec: { '0': 'off', '1': 'on' } };
    case 'string':
      return { Type: type, Spec: { Length: 256 } };
    case 'array':
      return { Type: type, Spec: { Size: 16, Item: typeOf('int32') } };
    case 'struct':
      return { Type: type, Spec: [] };
  }
  return { Type: type, Spec: {} };
}

type Spec = Record<string, unknown>;

/** DataTypeForm asks for a type with what belongs to it; depth bounds how far types nest. */
export function DataTypeForm({ value, onChange, depth = 0 }: { value: DataType; onChange: (d: DataType) => void; depth?: number }) {
  const t = words.use();
  const spec = (value.Spec ?? {}) as Spec;
  const set = (change: Spec) => onChange({ ...value, Spec: without({ ...spec, ...change }) });
  const offered = depth < 3 ? types : types.slice(0, 7);
  return (
    <Stack gap="xs">
      <Select label={t.type} data={offered} value={value.Type} allowDeselect={false} onChange={(v) => v && v !== value.Type && onChange(typeOf(v))} />
      {(value.Type === 'int32' || value.Type.startsWith('float')) && <Bounds spec={spec} set={set} whole={value.Type === 'int32'} />}
      {value.Type === 'bool' && (
        <Group grow>
          {['0', '1'].map((k) => (
            <TextInput key={k} label={`${t.label} ${k}`} value={String(spec[k] ?? '')} onChange={(e) => set({ [k]: e.currentTarget.value || undefined })} />
          ))}
        </Group>
      )}
      {value.Type === 'enum' && <Labels spec={spec} onChange={(s) => onChange({ ...value, Spec: s })} />}
      {value.Type === 'string' && <NumberInput label={t.length} min={1} max={2048} value={Number(spec.Length ?? 2048)} onChange={(v) => set({ Length: Number(v) || 1 })} />}
      {value.Type === 'array' && (
        <>
          <NumberInput label={t.size} min={1} max={128} value={Number(spec.Size ?? 16)} onChange={(v) => set({ Size: Number(v) || 1 })} />
          <Fieldset legend={t.item}>
            <DataTypeForm value={(spec.Item as DataType | undefined) ?? typeOf('int32')} onChange={(Item) => set({ Item })} depth={depth + 1} />
          </Fieldset>
        </>
      )}
      {value.Type === 'struct' && <Parameters legend={t.members} value={Array.isArray(value.Spec) ? (value.Spec as Parameter[]) : []} onChange={(list) => onChange({ ...value, Spec: list })} depth={depth + 1} />}
    </Stack>
  );
}

const without = (s: Spec) => Object.fromEntries(Object.entries(s).filter(([, v]) => v !== undefined));

function Bounds({ spec, set, whole }: { spec: Spec; set: (change: Spec) => void; whole: boolean }) {
  const t = words.use();
  const part = (name: string, label: string) => (
    <NumberInput label={label} allowDecimal={!whole} value={typeof spec[name] === 'number' ? spec[name] : ''} onChange={(v) => set({ [name]: v === '' ? undefined : Number(v) })} />
  );
  return (
    <Group grow align="flex-end">
      {part('Min', t.min)}
      {part('Max', t.max)}
      {part('Step', t.step)}
      <TextInput label={t.unit} value={String(spec.UnitName ?? '')} onChange={(e) => set({ UnitName: e.currentTarget.value || undefined })} />
    </Group>
  );
}

function Labels({ spec, onChange }: { spec: Spec; onChange: (s: Spec) => void }) {
  const t = words.use();
  const rows = Object.entries(spec);
  const write = (next: [string, unknown][]) => onChange(Object.fromEntries(next));
  const free = () => String(Math.max(-1, ...rows.map(([k]) => Number(k))) + 1);
  return (
    <Fieldset legend={t.labels}>
      <Stack gap="xs">
        {rows.map(([k, v], i) => (
          <Group key={i} wrap="nowrap" align="flex-end" gap="xs">
            <NumberInput label={t.value} allowDecimal={false} w={100} value={Number(k)} onChange={(n) => n !== '' && !(String(n) in spec) && write(rows.map((r, j) => (j === i ? [String(n), v] : r)))} />
            <TextInput label={t.label} className="grow" value={String(v)} onChange={(e) => write(rows.map((r, j) => (j === i ? [k, e.currentTarget.value] : r)))} />
            <Drop name={String(v)} onClick={() => write(rows.filter((_, j) => j !== i))} />
          </Group>
        ))}
        <Add disabled={rows.length >= 25} onClick={() => write([...rows, [free(), t.label]])} />
      </Stack>
    </Fieldset>
  );
}

function Drop({ name, onClick }: { name: string; onClick: () => void }) {
  const t = words.use();
  return (
    <ActionIcon variant="subtle" color="red" size="lg" aria-label={t.remove(name)} onClick={onClick}>
      <Icon name="trash" size={16} />
    </ActionIcon>
  );
}

function Add({ disabled, onClick }: { disabled: boolean; onClick: () => void }) {
  const t = words.use();
  return (
    <div>
      <Button size="xs" variant="default" leftSection={<Icon name="plus" size={14} />} disabled={disabled} onClick={onClick}>
        {t.add}
      </Button>
    </div>
  );
}

/** Parameters are the named values of a command, an event or a struct. */
export function Parameters({ legend, value, onChange, depth = 0 }: { legend: string; value: Parameter[]; onChange: (list: Parameter[]) => void; depth?: number }) {
  const t = words.use();
  const set = (i: number, change: Partial<Parameter>) => onChange(value.map((p, j) => (j === i ? { ...p, ...change } : p)));
  return (
    <Fieldset legend={legend}>
      <Stack gap="md">
        {value.length === 0 && (
          <Text size="sm" c="dimmed">
            {t.none}
          </Text>
        )}
        {value.map((p, i) => (
          <Fieldset key={i} legend={p.Name || p.Identifier || String(i + 1)}>
            <Group grow align="flex-end">
              <TextInput label={t.identifier} value={p.Identifier} onChange={(e) => set(i, { Identifier: e.currentTarget.value })} spellCheck={false} />
              <TextInput label={t.name} value={p.Name ?? ''} onChange={(e) => set(i, { Name: e.currentTarget.value })} />
              <Drop name={p.Identifier} onClick={() => onChange(value.filter((_, j) => j !== i))} />
            </Group>
            <DataTypeForm value={p.DataType} onChange={(DataType) => set(i, { DataType })} depth={depth} />
          </Fieldset>
        ))}
        <Add disabled={value.length >= 20} onClick={() => onChange([...value, { Identifier: `p${value.length + 1}`, Name: '', DataType: typeOf('int32') }])} />
      </Stack>
    </Fieldset>
  );
}
