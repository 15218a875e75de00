import { Button, Fieldset, Group, NumberInput, PasswordInput, Select, Stack, Switch, Text, Textarea, TextInput } from '@mantine/core';
import { useState } from 'react';
import { Icon } from './icons';
import type { FaultKind, Schema } from './schema';
import { words } from './text';

export interface SchemaFormProps {
  schema: Schema;
  value: unknown;
  onChange: (value: unknown) => void;
  /** As faultsIn tells them; shown where they are. */
  faults?: Map<string, FaultKind>;
}

/** SchemaForm asks for a value that a schema describes. */
export function SchemaForm({ schema, value, onChange, faults }: SchemaFormProps) {
  return <Part schema={schema} value={value} onChange={onChange} faults={faults ?? new Map()} path="" />;
}

interface PartProps {
  schema: Schema;
  name?: string;
  value: unknown;
  onChange: (value: unknown) => void;
  faults: Map<string, FaultKind>;
  path: string;
  required?: boolean;
}

function useFault(fault?: FaultKind): string | undefined {
  const t = words.use();
  switch (fault?.kind) {
    case 'required':
      return t.required;
    case 'number':
      return t.wrongNumber;
    case 'range':
      return t.outOfRange(fault.min, fault.max);
    case 'length':
      return t.tooLong(fault.most);
  }
  return undefined;
}

function Part(p: PartProps) {
  const { schema } = p;
  if (schema.members) return <Named {...p} />;
  if (schema.type === 'object') return <Members {...p} />;
  if (schema.type === 'array') return <Items {...p} />;
  return <Value {...p} />;
}

function Value({ schema, name, value, onChange, faults, path, required }: PartProps) {
  const t = words.use();
  const error = useFault(faults.get(path));
  const common = { label: schema.title ?? name, withAsterisk: required, error };
  if (schema.choices) {
    return (
      <Select
        {...common}
        description={schema.description}
        data={schema.choices.map((c) => ({ value: String(c.value), label: c.label ? `${c.label} (${c.value})` : String(c.value) }))}
        value={value === undefined ? null : String(value)}
        allowDeselect={false}
        clearable={!required}
        onChange={(v) => onChange(schema.choices!.find((c) => String(c.value) === v)?.value)}
      />
    );
  }
  switch (schema.type) {
    case 'boolean':
      return <Switch label={common.label} description={schema.description} checked={value === true || value === 1} onChange={(e) => onChange(e.currentTarget.checked)} onLabel={schema.labels?.[1]} offLabel={schema.labels?.[0]} size="md" />;
    case 'integer':
    case 'number':
      if (schema.moment) {
        return <TextInput {...common} description={schema.description} type="datetime-local" step={1} value={local(value)} onChange={(e) => onChange(e.currentTarget.value ? new Date(e.currentTarget.value).getTime() : undefined)} />;
      }
      return (
        <NumberInput
          {...common}
          description={[schema.description, schema.minimum !== undefined && schema.maximum !== undefined && Math.abs(schema.minimum) < 2e9 && t.range(String(schema.minimum), String(schema.maximum))].filter(Boolean).join(' · ') || undefined}
          suffix={schema.unit ? ` ${schema.unit}` : undefined}
          allowDecimal={schema.type === 'number'}
          value={typeof value === 'number' ? value : ''}
          onChange={(v) => onChange(v === '' ? undefined : Number(v))}
        />
      );
    case 'string': {
      const text = { ...common, description: schema.description, value: typeof value === 'string' ? value : '' };
      // An input of one line would join the lines of a key.
      if (schema.secret && schema.lines) return <Textarea {...text} autosize minRows={2} maxRows={6} spellCheck={false} autoComplete="off" className="veiled" onChange={(e) => onChange(e.currentTarget.value)} />;
      if (schema.secret) return <PasswordInput {...text} autoComplete="new-password" visibilityToggleButtonProps={{ 'aria-label': t.showTyped }} onChange={(e) => onChange(e.currentTarget.value)} />;
      if (schema.lines) return <Textarea {...text} autosize minRows={2} maxRows={10} spellCheck={false} onChange={(e) => onChange(e.currentTarget.value)} />;
      return <TextInput {...common} description={schema.description} value={typeof value === 'string' ? value : ''} onChange={(e) => onChange(e.currentTarget.value)} />;
    }
  }
  return <Free {...common} description={schema.description} value={value} onChange={onChange} />;
}

/** local is Unix milliseconds as an input of the browser has it. */
function local(value: unknown): string {
  if (typeof value !== 'number') return '';
  const d = new Date(value);
  return new Date(value - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** Free is any JSON. */
function Free({ value, onChange, ...rest }: { label?: string; description?: string; error?: string; value: unknown; onChange: (v: unknown) => void }) {
  const t = words.use();
  const [typed, setTyped] = useState(value === undefined ? '' : JSON.stringify(value));
  const [wrong, setWrong] = useState(false);
  return (
    <Textarea
      {...rest}
      autosize
      minRows={2}
      value={typed}
      error={wrong ? t.wrongJSON : rest.error}
      onChange={(e) => {
        const text = e.currentTarget.value;
        setTyped(text);
        try {
          onChange(text.trim() === '' ? undefined : JSON.parse(text));
          setWrong(false);
        } catch {
          setWrong(true);
        }
      }}
    />
  );
}

/** Named are members whose names are typed too. While they are, a name may be empty or there twice: the last one counts. */
function Named({ schema, name, value, onChange }: PartProps) {
  const t = words.use();
  const [rows, setRows] = useState(() => Object.entries((value ?? {}) as Record<string, unknown>));
  const change = (next: [string, unknown][]) => {
    setRows(next);
    onChange(Object.fromEntries(next.filter(([k]) => k !== '')));
  };
  const set = (i: number, row: [string, unknown]) => change(rows.map((old, j) => (j === i ? row : old)));
  return (
    <Fieldset legend={schema.title ?? name}>
      <Stack gap="xs">
        {schema.description && (
          <Text size="xs" c="dimmed">
            {schema.description}
          </Text>
        )}
        {rows.map(([k, v], i) => (
          <Group key={i} align="flex-end" wrap="nowrap" gap="xs">
            <TextInput label={t.memberName} value={k} onChange={(e) => set(i, [e.currentTarget.value, v])} spellCheck={false} flex={1} />
            <div className="grow">
              <Part schema={{ ...schema.members!, title: schema.members!.title ?? t.memberValue }} value={v} onChange={(next) => set(i, [k, next])} faults={new Map()} path="/" />
            </div>
            <Button variant="default" px="xs" aria-label={t.drop} onClick={() => change(rows.filter((_, j) => j !== i))}>
              <Icon name="trash" size={16} />
            </Button>
          </Group>
        ))}
        <div>
          <Button size="xs" variant="default" leftSection={<Icon name="plus" size={14} />} onClick={() => change([...rows, ['', schema.members!.type === 'object' ? {} : '']])}>
            {t.add}
          </Button>
        </div>
      </Stack>
    </Fieldset>
  );
}

function Members({ schema, name, value, onChange, faults, path }: PartProps) {
  const of = (value ?? {}) as Record<string, unknown>;
  const inner = (
    <Stack gap="sm">
      {Object.entries(schema.properties ?? {}).map(([k, s]) => (
        <Part key={k} name={k} schema={s} value={of[k]} onChange={(v) => onChange({ ...of, [k]: v })} faults={faults} path={`${path}/${k}`} required={schema.required?.includes(k)} />
      ))}
    </Stack>
  );
  if (path === '') return inner;
  return <Fieldset legend={schema.title ?? name}>{inner}</Fieldset>;
}

function Items({ schema, name, value, onChange, faults, path }: PartProps) {
  const t = words.use();
  const list = Array.isArray(value) ? value : [];
  const items = schema.items ?? { type: 'any' as const };
  return (
    <Fieldset legend={schema.title ?? name}>
      <Stack gap="sm">
        {list.map((v, i) => (
          <Group key={i} align="flex-end" wrap="nowrap">
            <div className="grow">
              <Part schema={{ ...items, title: t.item(i + 1) }} value={v} onChange={(next) => onChange(list.map((old, j) => (j === i ? next : old)))} faults={faults} path={`${path}/${i}`} required />
            </div>
            <Button variant="default" onClick={() => onChange(list.filter((_, j) => j !== i))}>
              {t.drop}
            </Button>
          </Group>
        ))}
        <div>
          <Button
            size="xs"
            variant="default"
            leftSection={<Icon name="plus" size={14} />}
            disabled={schema.maxItems !== undefined && list.length >= schema.maxItems}
            onClick={() => onChange([...list, items.type === 'boolean' ? false : items.type === 'string' ? '' : items.type === 'object' ? {} : undefined])}
          >
            {t.add}
          </Button>
        </div>
      </Stack>
    </Fieldset>
  );
}
