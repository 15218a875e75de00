import { ActionIcon, Button, Checkbox, Collapse, Fieldset, Group, NumberInput, Select, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import type { Schemas } from '../../api/client';
import { Icon } from '../../kit/icons';
import { emptyWave, type WaveDraft } from './spec';
import { words } from './wizardText';

interface Props {
  waves: WaveDraft[];
  onChange: (waves: WaveDraft[]) => void;
  /** So many have begun and stay as they are. */
  begun?: number;
}

/** WavesForm are the waves of a campaign: how far each reaches, and what must be so before the next. */
export function WavesForm({ waves, onChange, begun = 0 }: Props) {
  const t = words.use();
  const put = (i: number, wave?: WaveDraft) => onChange(waves.flatMap((w, k) => (k !== i ? [w] : wave ? [wave] : [])));
  return (
    <Stack gap="sm">
      {waves.map((w, i) => (
        <Wave key={i} wave={w} number={i + 1} fixed={i < begun} onChange={(next) => put(i, next)} onDrop={waves.length > 1 && i >= begun ? () => put(i) : undefined} />
      ))}
      {begun < waves.length && (
        <Group>
          <Button variant="default" leftSection={<Icon name="plus" />} onClick={() => onChange([...waves, emptyWave])}>
            {t.addWave}
          </Button>
        </Group>
      )}
    </Stack>
  );
}

function Wave({ wave: w, number: n, fixed, onChange, onDrop }: { wave: WaveDraft; number: number; fixed: boolean; onChange: (w: WaveDraft) => void; onDrop?: () => void }) {
  const t = words.use();
  const watched = w.reconnects !== '' || w.offline !== '' || w.silent !== '';
  const [opened, setOpened] = useState(watched);
  const put = (part: Partial<WaveDraft>) => onChange({ ...w, ...part });
  const percent = w.by === 'percent';
  return (
    <Fieldset legend={fixed ? t.waveBegun(n) : t.wave(n)} p="sm" disabled={fixed}>
      <Group align="flex-end" gap="xs">
        <Select label={t.by} w={116} allowDeselect={false} value={w.by} onChange={(by) => put({ by: by as WaveDraft['by'] })} data={[{ value: 'percent', label: t.byPercent }, { value: 'count', label: t.byCount }]} />
        <NumberInput label={percent ? t.percent : t.count} w={104} min={0} max={percent ? 100 : undefined} required value={w.reach} onChange={(v) => put({ reach: String(v) })} />
        <NumberInput label={t.settled} w={122} min={0} max={100} value={w.settled} onChange={(v) => put({ settled: String(v) })} />
        <NumberInput label={t.soak} w={128} min={0} value={w.soak} onChange={(v) => put({ soak: String(v) })} />
        <Checkbox label={t.hold} checked={w.hold} onChange={(e) => put({ hold: e.currentTarget.checked })} mb={8} />
        {!opened && !fixed && (
          <Button variant="subtle" onClick={() => setOpened(true)}>
            {t.addHealth}
          </Button>
        )}
        {onDrop && (
          <ActionIcon variant="subtle" color="red" mb={4} ml="auto" aria-label={t.dropWave(n)} onClick={onDrop}>
            <Icon name="trash" />
          </ActionIcon>
        )}
      </Group>
      <Collapse expanded={opened}>
        <Text size="sm" c="dimmed" mt="sm">
          {t.healthHint}
        </Text>
        <Group align="flex-end" mt={4}>
          <NumberInput label={t.reconnects} w={170} min={1} decimalScale={2} value={w.reconnects} onChange={(v) => put({ reconnects: String(v) })} />
          <NumberInput label={t.offlineMore} w={170} min={0} max={100} value={w.offline} onChange={(v) => put({ offline: String(v) })} />
          <NumberInput label={t.silentMore} w={170} min={0} max={100} value={w.silent} onChange={(v) => put({ silent: String(v) })} />
          <Select label={t.action} w={130} allowDeselect={false} value={w.healthAction} onChange={(v) => put({ healthAction: v as WaveDraft['healthAction'] })} data={gateActions.map((a) => ({ value: a, label: t[a as 'pause'] }))} />
        </Group>
      </Collapse>
    </Fieldset>
  );
}

/** What a gate does when it finds something. */
export const gateActions: Schemas['CampaignAction'][] = ['pause', 'abort', 'rollback'];
