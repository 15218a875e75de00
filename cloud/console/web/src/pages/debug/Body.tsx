import { Group, SegmentedControl, Stack, Text, Textarea } from '@mantine/core';
import { fromHex, toBase64 } from '../../kit/octets';
import { words as kitWords } from '../../kit/text';
import { words } from './text';

export interface BodyValue {
  text: string;
  encoding: 'text' | 'hex' | 'base64';
}

/** sayBody is a payload as the API takes it; undefined when what is typed is no such thing. */
export function sayBody({ text, encoding }: BodyValue): { payload?: string; payloadBase64?: string } | undefined {
  if (encoding === 'text') return { payload: text };
  if (encoding === 'hex') {
    const octets = fromHex(text);
    return octets && { payloadBase64: toBase64(octets) };
  }
  const bare = text.replace(/\s+/g, '');
  return /^[A-Za-z0-9+/]*={0,2}$/.test(bare) && bare.length % 4 === 0 ? { payloadBase64: bare } : undefined;
}

/** Body asks for a payload: as text, hexadecimal digits or base64. */
export function Body({ value, onChange }: { value: BodyValue; onChange: (v: BodyValue) => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const data = [
    { value: 'text', label: kit.asText },
    { value: 'hex', label: kit.asHex },
    { value: 'base64', label: kit.asBase64 },
  ];
  return (
    <Stack gap={4}>
      <Group justify="space-between">
        <Text size="sm" fw={600} aria-hidden="true">
          {t.payload}
        </Text>
        <SegmentedControl size="xs" aria-label={kit.form} data={data} value={value.encoding} onChange={(e) => onChange({ ...value, encoding: e as BodyValue['encoding'] })} />
      </Group>
      <Textarea
        aria-label={t.payload}
        autosize
        minRows={3}
        maxRows={14}
        spellCheck={false}
        value={value.text}
        error={sayBody(value) ? undefined : t.wrongEncoding}
        onChange={(e) => onChange({ ...value, text: e.currentTarget.value })}
        styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)', fontSize: 13 } }}
      />
    </Stack>
  );
}
