import type { Extension } from '@codemirror/state';
import { lazy, Suspense } from 'react';
import { Loading } from './Page';

export interface CodeEditorProps {
  value: string;
  onChange?: (value: string) => void;
  language: 'json' | 'javascript' | 'sql' | 'text';
  /** What the editor is for, to a screen reader. */
  label: string;
  readOnly?: boolean;
  height?: string;
  /** What a page adds to the editor; the same object as long as it is the same. */
  extra?: Extension;
}

const Editor = lazy(() => import('./editor'));

/** CodeEditor is an editor with colours and line numbers. Its code is fetched when the first one is shown. Tab leaves it, as forms have it. */
export function CodeEditor(props: CodeEditorProps) {
  return (
    <Suspense fallback={<Loading />}>
      <Editor {...props} />
    </Suspense>
  );
}
