import { Code, Group, SegmentedControl, Stack, Text } from '@mantine/core';
import { useMemo, useState } from 'react';
import { CopyText } from './CopyText';
import { bytes } from './i18n';
import { JsonView } from './JsonView';
import { asText, hexDump, toBase64, toBytes, treeOf } from './octets';
import { words } from './text';

type Form = 'tree' | 'text' | 'hex' | 'base64';

export interface PayloadProps {
  /** One of the two. */
  text?: string;
  base64?: string;
  label: string;
}

/** Payload is what a message carries: as a tree where it is JSON, as text in UTF-8, in hexadecimal digits or base64. */
export function Payload({ text, base64, label }: PayloadProps) {
  const t = words.use();
  const octets = useMemo(() => (base64 === undefined ? new TextEncoder().encode(text ?? '') : toBytes(base64)), [text, base64]);
  const readable = useMemo(() => text ?? asText(octets), [text, octets]);
  const tree = useMemo(() => treeOf(readable), [readable]);
  const [wanted, setWanted] = useState<Form | null>(null);
  const form = wanted ?? (tree !== undefined ? 'tree' : readable === undefined ? 'hex' : 'text');
  const forms = [...(tree === undefined ? [] : [{ value: 'tree', label: t.asTree }]), { value: 'text', label: 'UTF-8' }, { value: 'hex', label: t.asHex }, { value: 'base64', label: t.asBase64 }];
  if (octets.length === 0) return <Text c="dimmed">{t.emptyBody}</Text>;
  return (
    <Stack gap="xs" role="group" aria-label={label}>
      <Group gap="sm">
        <SegmentedControl size="xs" aria-label={t.form} data={forms} value={form} onChange={(f) => setWanted(f as Form)} />
        <Text size="sm" c="dimmed">
          {bytes(octets.length)}
        </Text>
      </Group>
      {form === 'tree' && <JsonView value={tree} label={label} />}
      {form === 'text' && (readable === undefined ? <Text c="dimmed">{t.noText}</Text> : <Lines of={readable} />)}
      {form === 'hex' && <Lines of={hexDump(octets)} />}
      {form === 'base64' && <CopyText value={toBase64(octets)} />}
    </Stack>
  );
}

/** Lines is text as it is, within bounds. */
export function Lines({ of }: { of: string }) {
  return (
    <Code block className="wrap" style={{ whiteSpace: 'pre-wrap', maxHeight: '24rem', overflow: 'auto' }} tabIndex={0}>
      {of}
    </Code>
  );
}
