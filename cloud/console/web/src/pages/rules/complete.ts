// What the editor knows of the language of rules: its words and functions, and the names in the thing models of the products in FROM.
import { SQLDialect, sql } from '@codemirror/lang-sql';
import type { Extension } from '@codemirror/state';
import type { ThingModel } from '../../kit/schema';
import { functions } from './functions';

const keywords =
  'select from where foreach do incase as at and or not in like regexp between is null missing case when then else end value true false';

/** productsIn are the products that the topics of FROM name. */
export function productsIn(query: string): string[] {
  const from = /\bfrom\b([\s\S]*?)(?:\bwhere\b|$)/i.exec(query)?.[1] ?? '';
  const found = [...from.matchAll(/(?:^|[\s,'"])\/(?:\$system\/)?([A-Za-z0-9]+)\//g)].map((m) => m[1]!);
  return [...new Set(found)];
}

export interface Known {
  model: ThingModel;
  product: string;
}

interface Suggestion {
  label: string;
  type: string;
  detail?: string;
  apply?: string;
  boost?: number;
}

/** namesOf are the members that messages of the model have: on its own topics, and on those of the thing model. */
function namesOf({ model, product }: Known): Suggestion[] {
  const of = (identifier: string, name: string | undefined, more: string) => [name && name !== identifier ? name : '', more].filter(Boolean).join(' · ');
  return [
    ...model.Property.flatMap((p) => [
      { label: p.Identifier, type: 'property', detail: of(p.Identifier, p.Name, p.DataType.Type), boost: 3 },
      { label: `Property.${p.Identifier}.Value`, type: 'property', detail: of(p.Identifier, p.Name, p.DataType.Type), boost: 2 },
    ]),
    ...model.Event.flatMap((e) => (e.Output ?? []).map((o) => ({ label: `Output.${o.Identifier}`, type: 'property', detail: of(o.Identifier, o.Name, `${e.Identifier} · ${o.DataType.Type}`), boost: 1 }))),
    { label: `/${product}/+/upload`, type: 'text' },
    { label: `/$system/${product}/+/tmodel/property/post`, type: 'text' },
    { label: `/$system/${product}/+/tmodel/event/post`, type: 'text' },
    { label: `/$system/${product}/+/shadow/document`, type: 'text' },
  ];
}

const dialect = SQLDialect.define({ keywords, operatorChars: '*+-%<>!=|/~', identifierQuotes: '`', doubleQuotedStrings: true, spaceAfterDashes: false });

/** ruleLanguage is colours and suggestions for a query. known is asked at each suggestion, so that the editor stays the same while models come. */
export function ruleLanguage(known: () => Known[]): Extension {
  const calls = functions.map((f): Suggestion => {
    const name = f.slice(0, f.indexOf('('));
    return { label: f, apply: f.endsWith('()') ? f : `${name}(`, type: 'function' };
  });
  const source = (context: { pos: number; explicit: boolean; matchBefore: (r: RegExp) => { from: number; text: string } | null }) => {
    const word = context.matchBefore(/[\w.$/+]+$/);
    if (!word && !context.explicit) return null;
    const options = [...known().flatMap(namesOf), ...calls];
    const topic = word?.text.startsWith('/');
    return { from: word?.from ?? context.pos, options: options.filter((o) => (o.type === 'text') === Boolean(topic)), validFor: /^[\w.$/+]*$/ };
  };
  return [sql({ dialect, upperCaseKeywords: true }), dialect.language.data.of({ autocomplete: source })];
}
