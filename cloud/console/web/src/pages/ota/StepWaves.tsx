import { Stack, Text, Textarea } from '@mantine/core';
import type { StepProps } from './NewCampaign';
import { WavesForm } from './WavesForm';
import { words } from './wizardText';

export function Waves({ draft: d, change }: StepProps) {
  const t = words.use();
  return (
    <Stack>
      <Text size="sm" c="dimmed">
        {t.wavesHint}
      </Text>
      <WavesForm waves={d.waves} onChange={(waves) => change({ waves })} />
      <Textarea label={t.canary} description={t.canaryHint} autosize minRows={2} maxRows={8} value={d.canary} onChange={(e) => change({ canary: e.currentTarget.value })} spellCheck={false} />
    </Stack>
  );
}
