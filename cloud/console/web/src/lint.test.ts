// What the sources must not have: HTML that is made of text, and words that are in no dictionary.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';

const src = import.meta.dirname;
const sources = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((f) => /\.tsx?$/.test(f) && !/\.test\.|schema\.d\.ts/.test(f))
  .map((f) => ({ name: f, text: readFileSync(join(src, f), 'utf8') }));

test('nothing makes HTML of text', () => {
  for (const { name, text } of sources) {
    expect(text, name).not.toMatch(/dangerouslySetInnerHTML|\.innerHTML|\.outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function\(/);
  }
});

// Attributes that people read or hear.
const spoken = new Set(['label', 'title', 'placeholder', 'description', 'aria-label', 'alt', 'legend', 'action', 'error', 'hint', 'empty']);

function wordsIn(name: string, text: string): string[] {
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const found: string[] = [];
  const letters = /\p{L}{2,}/u;
  const path = /^\/[\w/.-]*$/; // is the same in every language
  const visit = (node: ts.Node) => {
    if (ts.isJsxText(node) && letters.test(node.text)) found.push(node.text.trim());
    if (ts.isJsxAttribute(node) && spoken.has(node.name.getText()) && node.initializer) {
      const value = ts.isJsxExpression(node.initializer) ? node.initializer.expression : node.initializer;
      if (value && ts.isStringLiteralLike(value) && letters.test(value.text) && !path.test(value.text)) found.push(value.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

test('every word in a component is in a dictionary', () => {
  for (const { name, text } of sources) if (name.endsWith('.tsx')) expect(wordsIn(name, text), name).toEqual([]);
}, 120_000);

test('the check itself finds words', () => {
  expect(wordsIn('x.tsx', '<p title="some title">text {t.x}</p>')).toEqual(['some title', 'text']);
});
