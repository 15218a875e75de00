// What a form asks for: a part of JSON Schema, and how a thing model's types are said in it.

export interface Schema {
  type: 'string' | 'number' | 'integer' | 'boolean' | 'object' | 'array' | 'any';
  title?: string;
  description?: string;
  unit?: string;
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  maxItems?: number;
  /** The values to choose from, with what people call them. */
  choices?: { value: string | number; label: string }[];
  /** Of a boolean: what people call false and true. */
  labels?: [string, string];
  /** A moment, kept as Unix milliseconds. */
  moment?: boolean;
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  /** Of an object: members of any name, each such a value. */
  members?: Schema;
  /** Of a string: not shown as it is typed, or of several lines. */
  secret?: boolean;
  lines?: boolean;
}

export interface DataType {
  Type: string;
  Spec?: unknown;
}

export interface Parameter {
  Identifier: string;
  Name?: string;
  Description?: string;
  DataType: DataType;
}

export interface ThingProperty extends Parameter {
  AccessMode?: string;
}

export interface ThingEvent extends Omit<Parameter, 'DataType'> {
  Type?: string;
  Output?: Parameter[];
}

export interface ThingCommand extends Omit<Parameter, 'DataType'> {
  Input?: Parameter[];
  Output?: Parameter[];
}

export interface ThingModel {
  Property: ThingProperty[];
  Event: ThingEvent[];
  Command: ThingCommand[];
}

/** modelOf is a thing model as the API has it, with what may be absent. */
export function modelOf(raw: unknown): ThingModel {
  const m = (raw ?? {}) as Partial<ThingModel>;
  return { Property: m.Property ?? [], Event: m.Event ?? [], Command: m.Command ?? [] };
}

const int32 = 2_147_483_647;

function spec(d: DataType): Record<string, unknown> {
  return typeof d.Spec === 'object' && d.Spec !== null ? (d.Spec as Record<string, unknown>) : {};
}

const number = (v: unknown) => (typeof v === 'number' ? v : undefined);

/** schemaOf says a type of a thing model. */
export function schemaOf(d: DataType): Schema {
  const s = spec(d);
  const unit = typeof s.UnitName === 'string' ? s.UnitName : undefined;
  switch (d.Type) {
    case 'int32':
      return { type: 'integer', unit, minimum: number(s.Min) ?? -int32 - 1, maximum: number(s.Max) ?? int32 };
    case 'float32':
    case 'float64':
      return { type: 'number', unit, minimum: number(s.Min), maximum: number(s.Max) };
    case 'bool':
      return { type: 'boolean', labels: [String(s['0'] ?? ''), String(s['1'] ?? '')] };
    case 'enum':
      return { type: 'integer', choices: Object.entries(s).map(([value, label]) => ({ value: Number(value), label: String(label) })) };
    case 'string':
      return { type: 'string', maxLength: number(s.Length) ?? 2048 };
    case 'date':
      return { type: 'integer', moment: true };
    case 'array':
      return { type: 'array', maxItems: number(s.Size) ?? 128, items: s.Item ? schemaOf(s.Item as DataType) : { type: 'any' } };
    case 'struct':
      return parametersSchema(Array.isArray(d.Spec) ? (d.Spec as Parameter[]) : []);
  }
  return { type: 'any' };
}

/** parametersSchema says the parameters of a command, an event or a struct. All of them are wanted. */
export function parametersSchema(list: Parameter[]): Schema {
  return {
    type: 'object',
    properties: Object.fromEntries(list.map((p) => [p.Identifier, { ...schemaOf(p.DataType), title: p.Name || p.Identifier, description: p.Description }])),
    required: list.map((p) => p.Identifier),
  };
}

/** toWire is a form's value as devices have it: a bool is 0 or 1 there. */
export function toWire(schema: Schema, value: unknown): unknown {
  if (value === undefined || value === null) return value;
  switch (schema.type) {
    case 'boolean':
      return value === true || value === 1 ? 1 : 0;
    case 'array':
      return (value as unknown[]).map((v) => toWire(schema.items ?? { type: 'any' }, v));
    case 'object':
      return Object.fromEntries(
        Object.entries(value as Record<string, unknown>)
          .filter(([, v]) => v !== undefined)
          .map(([k, v]) => [k, toWire(schema.properties?.[k] ?? { type: 'any' }, v)]),
      );
  }
  return value;
}

/** blank is what a form begins with. */
export function blank(schema: Schema): unknown {
  switch (schema.type) {
    case 'object':
      return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([k, s]) => [k, blank(s)]));
    case 'array':
      return [];
    case 'boolean':
      return false;
    case 'integer':
    case 'number':
      if (schema.choices) return schema.choices[0]?.value;
      if (schema.moment) return undefined;
      return Math.min(Math.max(0, schema.minimum ?? 0), schema.maximum ?? 0);
    case 'string':
      return '';
  }
  return undefined;
}

export type FaultKind = { kind: 'required' } | { kind: 'number' } | { kind: 'range'; min: string; max: string } | { kind: 'length'; most: number };

/** faultsIn are the places where a value does not fit, by their path. */
export function faultsIn(schema: Schema, value: unknown, path = ''): Map<string, FaultKind> {
  const out = new Map<string, FaultKind>();
  const merge = (more: Map<string, FaultKind>) => more.forEach((v, k) => out.set(k, v));
  if (value === undefined || value === null) {
    if (schema.type !== 'any') out.set(path, { kind: 'required' });
    return out;
  }
  switch (schema.type) {
    case 'object':
      if (schema.members) for (const [k, v] of Object.entries(value as object)) merge(faultsIn(schema.members, v, `${path}/${k}`));
      for (const [k, s] of Object.entries(schema.properties ?? {})) {
        const v = (value as Record<string, unknown>)[k];
        if (v === undefined && !schema.required?.includes(k)) continue;
        merge(faultsIn(s, v, `${path}/${k}`));
      }
      break;
    case 'array':
      (value as unknown[]).forEach((v, i) => merge(faultsIn(schema.items ?? { type: 'any' }, v, `${path}/${i}`)));
      break;
    case 'integer':
    case 'number': {
      const n = typeof value === 'number' ? value : NaN;
      if (!Number.isFinite(n) || (schema.type === 'integer' && !Number.isInteger(n))) out.set(path, { kind: 'number' });
      else if (n < (schema.minimum ?? -Infinity) || n > (schema.maximum ?? Infinity)) out.set(path, { kind: 'range', min: String(schema.minimum ?? ''), max: String(schema.maximum ?? '') });
      break;
    }
    case 'string':
      if (schema.maxLength !== undefined && new TextEncoder().encode(String(value)).length > schema.maxLength) out.set(path, { kind: 'length', most: schema.maxLength });
  }
  return out;
}

/** pruned is a form's value without what is empty in it: what was not filled in is not said. */
export function pruned(value: unknown): unknown {
  if (value === '' || value === undefined) return undefined;
  if (Array.isArray(value)) return value.map(pruned).filter((v) => v !== undefined);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value)
    .map(([k, v]) => [k, pruned(v)] as const)
    .filter(([, v]) => v !== undefined && !(typeof v === 'object' && v !== null && Object.keys(v).length === 0));
  return Object.fromEntries(kept);
}

/** valueText is a value of a thing model as people read it. */
export function valueText(d: DataType | undefined, value: unknown): string {
  if (value === undefined || value === null) return '';
  if (d) {
    const s = spec(d);
    if ((d.Type === 'bool' || d.Type === 'enum') && typeof s[String(Number(value))] === 'string') return String(s[String(Number(value))]);
    if (typeof value === 'number' && typeof s.UnitName === 'string' && s.UnitName) return `${value} ${s.UnitName}`;
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}
