import { javascript } from '@codemirror/lang-javascript';
import { json } from '@codemirror/lang-json';
import { sql } from '@codemirror/lang-sql';
import { HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { EditorState, type Extension } from '@codemirror/state';
import { EditorView } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useComputedColorScheme } from '@mantine/core';
import { basicSetup } from 'codemirror';
import { useEffect, useRef } from 'react';
import { nonce } from '../app/nonce';
import type { CodeEditorProps } from './CodeEditor';

const languages: Record<CodeEditorProps['language'], () => Extension> = { json, javascript, sql, text: () => [] };

// The colours that come with the editor cannot be read on a dark ground.
const dark = syntaxHighlighting(
  HighlightStyle.define([
    { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: '#d0a6ff' },
    { tag: [tags.string, tags.special(tags.string), tags.regexp], color: '#9be29b' },
    { tag: [tags.number, tags.bool, tags.null, tags.atom], color: '#ffc078' },
    { tag: [tags.propertyName, tags.attributeName], color: '#8fd3e8' },
    { tag: [tags.comment, tags.meta], color: '#b0b7bd' },
    { tag: [tags.typeName, tags.className, tags.standard(tags.name), tags.function(tags.variableName)], color: '#8ec8ff' },
    { tag: tags.invalid, color: '#ff9c9c' },
  ]),
);

export default function Editor({ value, onChange, language, label, readOnly = false, height = '22rem', extra }: CodeEditorProps) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const told = useRef(onChange);
  told.current = onChange;
  const scheme = useComputedColorScheme('light');
  useEffect(() => {
    const v = new EditorView({
      parent: place.current!,
      state: EditorState.create({
        doc: value,
        extensions: [
          basicSetup,
          languages[language](),
          extra ?? [],
          scheme === 'dark' ? dark : [],
          EditorState.readOnly.of(readOnly),
          EditorView.cspNonce.of(nonce()),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ 'aria-label': label }),
          EditorView.theme({ '&': { height, fontSize: '13px' }, '.cm-scroller': { overflow: 'auto' }, '.cm-gutters': { backgroundColor: 'transparent' } }, { dark: scheme === 'dark' }),
          EditorView.updateListener.of((u) => {
            if (u.docChanged) told.current?.(u.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = v;
    return () => v.destroy();
    // A new editor only for what cannot be changed in one.
  }, [language, readOnly, scheme, label, height, extra]);
  useEffect(() => {
    const v = view.current;
    if (v && v.state.doc.toString() !== value) v.dispatch({ changes: { from: 0, to: v.state.doc.length, insert: value } });
  }, [value]);
  return <div ref={place} className="editor" />;
}
