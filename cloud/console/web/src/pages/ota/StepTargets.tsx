import { SegmentedControl, Select, SimpleGrid, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { api, take } from '../../api/client';
import { useRead } from '../../kit/data';
import type { StepProps } from './NewCampaign';
import type { TargetKind } from './spec';
import { words } from './wizardText';

export function Targets({ draft: d, change, product }: StepProps & { product: string }) {
  const t = words.use();
  const firmware = useRead(['firmware', product, 'pick'], (signal) => take(api.GET('/v1/products/{productSN}/firmwares', { params: { path: { productSN: product }, query: { limit: 1000 } }, signal })), product !== '');
  const groups = useRead(['groups', 'pick'], (signal) => take(api.GET('/v1/groups', { params: { query: { limit: 1000 } }, signal })), d.target === 'group');
  return (
    <Stack>
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <Select
          label={t.firmware}
          withAsterisk
          searchable
          description={firmware.data?.items.length === 0 ? t.noFirmware : undefined}
          data={(firmware.data?.items ?? []).map((f) => ({ value: f.firmwareID, label: `${f.module} ${f.version}` }))}
          value={d.firmware || null}
          onChange={(v) => change({ firmware: v ?? '' })}
        />
        <TextInput label={t.name} value={d.name} onChange={(e) => change({ name: e.currentTarget.value })} />
      </SimpleGrid>
      <div>
        <Text size="sm" fw={600} mb={4}>
          {t.targets}
        </Text>
        <SegmentedControl
          aria-label={t.targets}
          value={d.target}
          onChange={(v) => change({ target: v as TargetKind })}
          data={[
            { value: 'all', label: t.all },
            { value: 'group', label: t.group },
            { value: 'filter', label: t.filter },
            { value: 'devices', label: t.devices },
          ]}
        />
      </div>
      {d.target === 'group' && <Select label={t.group} searchable data={(groups.data?.items ?? []).map((g) => g.name)} value={d.group || null} onChange={(v) => change({ group: v ?? '' })} />}
      {(d.target === 'filter' || d.target === 'group') && <TextInput label={t.filter} description={t.filterHint} value={d.filter} onChange={(e) => change({ filter: e.currentTarget.value })} spellCheck={false} />}
      {d.target === 'devices' && <Textarea label={t.devices} description={t.devicesHint} autosize minRows={3} maxRows={10} value={d.devices} onChange={(e) => change({ devices: e.currentTarget.value })} spellCheck={false} />}
      <TextInput label={t.versions} description={t.versionsHint} value={d.versions} onChange={(e) => change({ versions: e.currentTarget.value })} spellCheck={false} />
    </Stack>
  );
}
