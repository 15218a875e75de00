import { useMemo, useRef } from 'react';
import Editor from '../../kit/editor';
import { ruleLanguage, type Known } from './complete';

export default function SqlEditor({ value, onChange, label, known, readOnly }: { value: string; onChange: (v: string) => void; label: string; known: Known[]; readOnly: boolean }) {
  const latest = useRef(known);
  latest.current = known;
  const extra = useMemo(() => ruleLanguage(() => latest.current), []);
  return <Editor value={value} onChange={onChange} language="text" label={label} height="12rem" extra={extra} readOnly={readOnly} />;
}
