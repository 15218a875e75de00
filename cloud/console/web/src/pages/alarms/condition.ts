// What an alarm rule says, as people read it and as a form has it.
import type { Schemas } from '../../api/client';
import { words } from './text';

export type Condition = Schemas['AlarmCondition'];
export type Kind = Condition['kind'];
export const kinds: Kind[] = ['property', 'presence', 'metric', 'rule'];
export const ops: NonNullable<Condition['op']>[] = ['>', '>=', '<', '<=', '==', '!='];

/** valueOf is what was typed as a value of JSON: a number, true or false, a text in quotes; anything else is a text as it stands. */
export function valueOf(typed: string): unknown {
  const text = typed.trim();
  if (text === '') return undefined;
  try {
    const v: unknown = JSON.parse(text);
    if (v !== null && typeof v !== 'object') return v;
  } catch {
    // a text
  }
  return text;
}

/** typedOf is the inverse of valueOf. */
export function typedOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') return JSON.stringify(value);
  return valueOf(value) === value ? value : JSON.stringify(value);
}

/** conditionText is a condition in a line; nameOf is how a product is called. */
export function conditionText(c: Condition, nameOf: (productSN: string) => string): string {
  const t = words.now();
  const of = c.deviceSN ?? (c.productSN && nameOf(c.productSN));
  const than = `${c.op ?? ''} ${typedOf(c.value)}`;
  switch (c.kind) {
    case 'presence':
      return t.isOffline(of ?? '');
    case 'property':
      return `${of}: ${c.property} ${than}`;
    default:
      return `${c.rule ? `${t.ofRule(c.rule)}: ` : of ? `${of}: ` : ''}${c.metric} ${than} · ${t.minutes(c.windowMinutes ?? 1)}`;
  }
}

/** debounceText is what must be so before there is an alarm. */
export function debounceText(d: Schemas['AlarmDebounce']): string {
  const t = words.now();
  if ((d.count ?? 0) > 1) return t.countOf(d.count!, d.of ?? d.count!);
  return d.seconds ? t.forSeconds(d.seconds) : t.atOnce;
}

/** pickOf keeps of a condition what its kind means. */
export function pickOf(c: Condition): Condition {
  const than = { op: c.op, value: c.value };
  switch (c.kind) {
    case 'presence':
      return { kind: c.kind, productSN: c.productSN, deviceSN: c.deviceSN };
    case 'property':
      return { kind: c.kind, productSN: c.productSN, deviceSN: c.deviceSN, property: c.property, ...than, clearValue: c.clearValue };
    case 'metric':
      return { kind: c.kind, productSN: c.productSN, metric: c.metric, windowMinutes: c.windowMinutes, ...than, clearValue: c.clearValue };
    case 'rule':
      return { kind: c.kind, rule: c.rule, metric: c.metric, windowMinutes: c.windowMinutes, ...than, clearValue: c.clearValue };
  }
}

/** complete tells whether a condition says all that its kind wants. */
export function complete(c: Condition): boolean {
  const compared = Boolean(c.op) && c.value !== undefined;
  switch (c.kind) {
    case 'presence':
      return Boolean(c.productSN);
    case 'property':
      return Boolean(c.productSN && c.property) && compared;
    case 'metric':
      return Boolean(c.metric) && compared;
    case 'rule':
      return Boolean(c.rule && c.metric) && compared;
  }
}
