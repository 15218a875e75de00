import { TextInput } from '@mantine/core';
import type { Schemas } from '../../api/client';
import { words } from './text';

/** Confirmed is what the reader has typed to show that it is them. */
export interface Confirmed {
  password: string;
  code: string;
}

/** confirmation is what the hub is told: six digits are a code, all else is a recovery code. */
export function confirmation({ password, code }: Confirmed): Schemas['Confirmation'] {
  const typed = code.replace(/\s/g, '');
  return { password: password || undefined, ...(typed !== '' && (/^\d{6}$/.test(typed) ? { code: typed } : { recoveryCode: code.trim() })) };
}

export function Code({ value, onChange }: { value: Confirmed; onChange: (v: Confirmed) => void }) {
  const t = words.use();
  return <TextInput label={t.code} description={t.codeHint} value={value.code} onChange={(e) => onChange({ ...value, code: e.currentTarget.value })} autoComplete="one-time-code" spellCheck={false} />;
}
